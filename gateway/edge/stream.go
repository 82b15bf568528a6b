package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"portway/gateway/exchange"
	"portway/internal/problem"
)

// opener returns the exchange's OpenBody: the body as it comes, its bytes counted. Each read has the time of a body;
// one byte over the limit is body.too_large.
func (s *Server) opener(rc *fasthttp.RequestCtx) func(limit int64) (*exchange.Stream, error) {
	return func(limit int64) (*exchange.Stream, error) {
		declared := int64(rc.Request.Header.ContentLength())
		if declared > limit {
			return nil, tooLarge(limit)
		}
		stream := rc.RequestBodyStream()
		if stream == nil {
			return nil, problem.New(problem.Internal, "the body is not streamed")
		}
		return exchange.NewStream(&incoming{conn: rc.Conn(), body: stream, idle: s.o.ReadTimeout, limit: limit, declared: max(declared, -1)}, max(declared, -1)), nil
	}
}

// incoming is the caller's body. Its errors are the refusals of the call.
type incoming struct {
	conn     net.Conn
	body     io.Reader
	idle     time.Duration
	limit    int64
	declared int64 // -1 when chunked

	mu     sync.Mutex // Close comes while a Read is under way
	got    int64
	whole  bool
	closed bool
}

// Read waits for the caller's next bytes, at most for the time of a body.
func (in *incoming) Read(p []byte) (int, error) {
	if !in.extend() {
		return 0, io.ErrClosedPipe
	}
	n, err := in.body.Read(p)
	in.mu.Lock()
	defer in.mu.Unlock()
	in.got += int64(n)
	in.whole = in.whole || in.got == in.declared || in.declared < 0 && err == io.EOF && !stopped(in.conn)
	switch {
	case in.got > in.limit:
		return 0, tooLarge(in.limit)
	case err == nil:
		return n, nil
	case isTimeout(err):
		return 0, closing(problem.New(problem.HTTPTimeout, "the body did not arrive in time"))
	case err != io.EOF || !in.whole:
		return 0, closing(problem.New(problem.HTTPFraming, "the body's framing is broken"))
	}
	return n, io.EOF
}

func (in *incoming) extend() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return !in.closed && (in.whole || in.conn.SetReadDeadline(time.Now().Add(in.idle)) == nil)
}

// Close ends a Read that is under way. A body that was not read to its end cannot be read on.
func (in *incoming) Close() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed = true; in.whole {
		return nil
	}
	return in.conn.SetReadDeadline(time.Unix(1, 0))
}

// unread reports whether the caller's streamed body was not read to its end, so that nothing can follow it.
func unread(x *exchange.Exchange) bool {
	if x.Stream == nil {
		return false
	}
	in, ok := x.Stream.ReadCloser.(*incoming)
	if !ok {
		return true
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	return !in.whole
}

// stream makes the answer's stream the response's body. The call is finished when its last byte is handed to the
// connection; when the answer breaks off, the connection is closed without an end of the body.
func (s *Server) stream(ctx context.Context, rc *fasthttp.RequestCtx, x *exchange.Exchange) {
	out := &outgoing{server: s, ctx: ctx, x: x, conn: rc.Conn(), body: x.Response.Stream}
	status := x.Response.Status
	if rc.IsHead() || status == fasthttp.StatusNoContent || status == fasthttp.StatusNotModified || status < 200 {
		out.end(nil)
		return
	}
	rc.Response.ImmediateHeaderFlush = true
	rc.Response.SetBodyStream(out, int(x.Response.Stream.Length))
}

// outgoing is the answer's body as the server reads it, after the handler has returned.
type outgoing struct {
	server *Server
	ctx    context.Context
	x      *exchange.Exchange
	conn   net.Conn
	body   *exchange.Stream
	done   bool
	once   sync.Once
}

var errTornDown = errors.New("the answer could not be read on")

// Read gives the caller the time of an answer for every part of it. It never panics: nothing above it would recover.
func (out *outgoing) Read(p []byte) (n int, err error) {
	defer func() {
		if r := recover(); r != nil {
			out.server.o.Log.Error("panic", "request_id", out.x.ID, "stage", "stream", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			n, err = 0, errTornDown
		}
	}()
	n, err = out.body.Read(p)
	out.done = err == io.EOF
	if deadline := out.conn.SetWriteDeadline(time.Now().Add(orDefault(out.server.o.WriteTimeout, 30*time.Second))); err == nil {
		err = deadline
	}
	return n, err
}

// CloseWithError is called by the server when the body is written, or could not be.
func (out *outgoing) CloseWithError(err error) error {
	if err == nil && !out.done && out.body.Length < 0 {
		err = errTornDown
	}
	out.end(err)
	return nil
}

// end gives everything back and finishes the call, once. An answer that broke off resets the connection, so that no
// caller takes its end for the end of the answer.
func (out *outgoing) end(err error) {
	out.once.Do(func() {
		defer func() {
			if r := recover(); r != nil {
				out.server.o.Log.Error("panic", "request_id", out.x.ID, "stage", "stream", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			}
		}()
		if own := out.body.Err(); own != nil {
			err = own
		}
		err = errors.Join(err, out.body.Close())
		if out.x.Stream != nil {
			err = errors.Join(err, out.x.Stream.Close())
		}
		if c, ok := out.conn.(interface{ reset() error }); ok && err != nil {
			err = errors.Join(err, c.reset())
		}
		out.server.o.Pipeline.Complete(out.ctx, out.x, err)
	})
}
