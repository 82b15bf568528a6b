package mediate

import (
	"container/list"
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"portway/gateway/exchange"
	"portway/internal/catalog"
	"portway/internal/ident"
	"portway/internal/problem"
)

// The bounds of what is remembered, in bytes.
const (
	// FallbackBytes is what a Fallback remembers in all; what was not used for longest goes first.
	FallbackBytes    = 32 << 20
	fallbackLargest  = 1 << 20 // of one answer
	fallbackOverhead = 512     // of an answer beside its body
)

// HeaderFallback marks an answer that is not the backend's present one: "last-good".
const HeaderFallback = "Portway-Fallback"

// Fallback remembers the last good answers of operations that declare it, and gives one when the backend cannot answer:
// with its age in Age (RFC 9111 section 5.1) and HeaderFallback. It is the first stage of every answer. What is
// remembered is the answer as a caller got it, by operation, environment, path, query and what the caller accepts, and,
// unless the operation declares it shared, by organisation.
type Fallback struct {
	clock ident.Clock

	mu    sync.Mutex
	by    map[string]*list.Element
	order *list.List // of *remembered, the last used first
	bytes int
}

type remembered struct {
	key    string
	at     time.Time
	answer exchange.Response
	bytes  int
}

// NewFallback returns a Fallback that remembers nothing yet.
func NewFallback(clock ident.Clock) *Fallback {
	return &Fallback{clock: clock, by: map[string]*list.Element{}, order: list.New()}
}

// Name is "fallback".
func (*Fallback) Name() string { return "fallback" }

// Run remembers a good answer, or replaces a refusal that is the backend's fault by the last good answer.
func (s *Fallback) Run(_ context.Context, x *exchange.Exchange) error {
	if s == nil || x.Route == nil || x.Route.Fallback.Kind == "" || x.Route.Dispatch != catalog.Proxy || x.Backend == nil || x.Caller == nil {
		return nil
	}
	switch {
	case x.Err == nil && x.Response.Status >= 200 && x.Response.Status <= 299:
		s.remember(x)
	case x.Err != nil && backendsFault(x.Err.Code), x.Err == nil && x.Response.Status >= 500:
		s.recall(x)
	}
	return nil
}

func backendsFault(c problem.Code) bool {
	switch c {
	case problem.BackendUnreachable, problem.BackendTimeout, problem.BackendBadAnswer, problem.BackendUnavailable:
		return true
	}
	return false
}

func (s *Fallback) remember(x *exchange.Exchange) {
	r := x.Response
	if r.Stream != nil || len(r.Body) > fallbackLargest || strings.Contains(strings.ToLower(r.Header.Get("Cache-Control")), "no-store") {
		return
	}
	now := s.clock.Now()
	kept := &remembered{key: fallbackKey(x), at: now, answer: exchange.Response{Status: r.Status, Header: slices.Clone(r.Header), Body: slices.Clone(r.Body)}}
	kept.bytes = len(kept.key) + len(kept.answer.Body) + fallbackOverhead
	for _, h := range kept.answer.Header {
		kept.bytes += len(h[0]) + len(h[1])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(s.by[kept.key])
	s.by[kept.key] = s.order.PushFront(kept)
	for s.bytes += kept.bytes; s.bytes > FallbackBytes; {
		s.forget(s.order.Back())
	}
}

func (s *Fallback) forget(e *list.Element) {
	if e == nil {
		return
	}
	r := s.order.Remove(e).(*remembered)
	delete(s.by, r.key)
	s.bytes -= r.bytes
}

func (s *Fallback) recall(x *exchange.Exchange) {
	key, now := fallbackKey(x), s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.by[key]
	if e == nil {
		return
	}
	r := e.Value.(*remembered)
	age := max(now.Sub(r.at), 0)
	if age > x.Route.Fallback.MaxAge {
		s.forget(e)
		return
	}
	s.order.MoveToFront(e)
	x.Note("last good answer")
	x.Err = nil
	x.Response = &exchange.Response{Status: r.answer.Status, Header: slices.Clone(r.answer.Header), Body: r.answer.Body}
	x.Response.Header.Set("Age", strconv.FormatInt(int64(age/time.Second), 10))
	x.Response.Header.Set(HeaderFallback, "last-good")
}

// fallbackKey names what an answer answers. No part can be mistaken for another: none holds a zero byte.
func fallbackKey(x *exchange.Exchange) string {
	org := string(x.Caller.Org)
	if x.Route.Fallback.Shared {
		org = ""
	}
	return strings.Join([]string{string(x.Environment), org, x.Route.ID, x.Request.Method, x.Request.Path, x.Request.Query,
		strings.Join(x.Request.Header.Values("Accept"), ","), strings.Join(x.Request.Header.Values("Accept-Language"), ",")}, "\x00")
}
