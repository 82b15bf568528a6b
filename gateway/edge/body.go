package edge

import (
	"bytes"
	"errors"
	"io"

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
		case err != nil || declared > 0 && n < declared:
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
