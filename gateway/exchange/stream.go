package exchange

import (
	"context"
	"io"

	"portway/internal/problem"
	"portway/internal/traffic"
)

// Stream is a body that passes through without being held: it can be read once, until Finish. Length is -1 when it
// is not known ahead. A Read fails with the refusal of the call once the body is too large, broken or late.
type Stream struct {
	io.ReadCloser
	Length int64

	passed int64
	err    error
}

// NewStream returns a Stream over body, whose length is length or -1.
func NewStream(body io.ReadCloser, length int64) *Stream {
	return &Stream{ReadCloser: body, Length: length}
}

// Read reads and counts.
func (s *Stream) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	s.passed += int64(n)
	if err != nil && err != io.EOF && s.err == nil {
		s.err = err
	}
	return n, err
}

// Passed is how many bytes were read; Err is why reading ended before the end, nil if it did not.
func (s *Stream) Passed() int64 { return s.passed }

// Err is the first error of Read other than io.EOF.
func (s *Stream) Err() error { return s.err }

// Sizes are the bytes of the caller's body and of the answer's; those of streams as far as they passed.
func (x *Exchange) Sizes() (in, out int64) {
	in, out = int64(len(x.Body)), int64(len(x.Response.Body))
	if x.Stream != nil {
		in = x.Stream.Passed()
	}
	if x.Response.Stream != nil {
		out = x.Response.Stream.Passed()
	}
	return in, out
}

// Complete finishes a call whose answer was streamed; Run leaves that to it. A non-nil err says why the answer broke
// off: the caller's connection was closed instead of ending the answer. The record of the call names the backend's
// fault if it was one, and otherwise says in its trail that the caller went away.
func (p *Pipeline) Complete(ctx context.Context, x *Exchange, err error) {
	defer p.release(ctx, x)
	if err != nil {
		step := traffic.Step{Stage: "stream", Result: "refused", Note: "the caller went away"}
		if broken := x.Response.Stream.Err(); broken != nil && x.Err == nil {
			if x.Err = problem.From(broken); x.Err.Code == problem.Internal {
				x.Err = problem.Wrap(problem.BackendBadAnswer, broken, "the answer broke off while it was passed on")
			}
			step.Note = "the answer broke off"
		}
		x.Trail = append(x.Trail, step)
		p.Log.WarnContext(ctx, "answer broke off", "request_id", x.ID, "error", err.Error())
	}
	if p.Finish != nil {
		p.finish(ctx, x)
	}
}
