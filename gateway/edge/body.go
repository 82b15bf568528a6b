package edge

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"portway/internal/problem"
)

var errReadTwice = errors.New("the body was read twice")

// reader returns the exchange's ReadBody: the whole body as bytes of its own, as they came (no decompression).
// A declared length over the limit is refused before a byte is read.
func reader(rc *fasthttp.RequestCtx) func(limit int64) ([]byte, error) {
	read := false
	return func(limit int64) ([]byte, error) {
		if read {
			return nil, errReadTwice
		}
		read = true
		declared := int64(rc.Request.Header.ContentLength())
		if declared > limit {
			return nil, tooLarge(limit)
		}
		stream := rc.RequestBodyStream()
		if stream == nil {
			return bytes.Clone(rc.Request.Body()), nil
		}
		if declared == 0 {
			return nil, nil
		}
		buffer := bytes.Buffer{}
		if declared > 0 {
			buffer.Grow(int(declared) + bytes.MinRead)
		}
		n, err := io.Copy(&buffer, io.LimitReader(stream, limit+1))
		switch {
		case n > limit:
			return nil, tooLarge(limit)
		case err != nil && isTimeout(err):
			return nil, closing(problem.New(problem.HTTPTimeout, "the body did not arrive in time"))
		case err != nil || declared > 0 && n < declared || declared < 0 && stopped(rc.Conn()):
			return nil, closing(problem.New(problem.HTTPFraming, "the body's framing is broken"))
		}
		return buffer.Bytes(), nil
	}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

func tooLarge(limit int64) error {
	return closing(problem.New(problem.BodyTooLarge, "the body is larger than the %d bytes this operation takes", limit))
}

// closing marks a refusal after which the connection cannot be used.
func closing(p *problem.Error) *problem.Error {
	p.Header = append(p.Header, [2]string{"Connection", "close"})
	return p
}

// lingerFor is how long a connection is read on after an answer that came before the end of the body.
const lingerFor = 500 * time.Millisecond

// linger sends the answer of a call whose body was perhaps not read to its end, and closes gently: closing at
// once would reset the connection, and a caller still sending would lose the answer that tells it to stop.
// The server closes at once after an answer that says so, so the answer is written by the connection's new owner.
func linger(rc *fasthttp.RequestCtx) {
	out := &fasthttp.Response{}
	rc.Response.CopyTo(out)
	rc.Response.Reset()
	out.SkipBody = rc.IsHead()
	conn := rc.Conn()
	rc.HijackSetNoResponse(true)
	rc.Hijack(func(c net.Conn) {
		if c.SetDeadline(time.Now().Add(lingerFor)) != nil {
			return
		}
		w := bufio.NewWriter(c)
		if out.Write(w) != nil || w.Flush() != nil {
			return
		}
		if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() != nil {
			return
		}
		_, _ = io.Copy(io.Discard, c) // ends by itself at the deadline
	})
}
