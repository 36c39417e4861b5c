package httpapi

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/polyvault/polyvault/normalize"
)

const (
	mediaJSON       = "application/json"
	mediaMergePatch = "application/merge-patch+json"
)

// readBody reads a request's body of up to limit bytes, in one of the media types.
func readBody(c echo.Context, limit int64, mediaTypes ...string) (*node, error) {
	r := c.Request()
	if err := checkMediaType(r.Header, mediaTypes); err != nil {
		return nil, err
	}
	b, err := readLimited(c, limit)
	if err != nil {
		return nil, err
	}
	return parseJSON(b)
}

// readNoBody accepts what clients send when there is nothing to say: no body, or an empty object.
func readNoBody(c echo.Context, limit int64) error {
	n, err := readOptionalBody(c, limit)
	if err != nil || n == nil {
		return err
	}
	var d decoder
	d.object(n, "").end()
	return d.err(nil)
}

// readOptionalBody reads a JSON body of up to limit bytes; nil if there is none.
func readOptionalBody(c echo.Context, limit int64) (*node, error) {
	b, err := readLimited(c, limit)
	if err != nil || len(b) == 0 {
		return nil, err
	}
	if err := checkMediaType(c.Request().Header, []string{mediaJSON}); err != nil {
		return nil, err
	}
	return parseJSON(b)
}

func readLimited(c echo.Context, limit int64) ([]byte, error) {
	r := c.Request()
	tooLarge := &normalize.Error{
		Code: normalize.BodyTooLarge, Outcome: normalize.NotSent, Msg: "the body is larger than this operation accepts",
	}
	if r.ContentLength > limit {
		c.Response().Header().Set("Connection", "close") // rather than read what is refused
		return nil, tooLarge
	}
	b, err := io.ReadAll(http.MaxBytesReader(c.Response(), r.Body, limit))
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return nil, tooLarge
	}
	if err != nil {
		return nil, &normalize.Error{
			Code: normalize.InvalidJSON, Outcome: normalize.NotSent, Msg: "the body cannot be read to its end", Err: err,
		}
	}
	return b, nil
}

func checkMediaType(h http.Header, accepted []string) error {
	refused := func(msg string) error {
		return &normalize.Error{Code: normalize.UnsupportedMediaType, Outcome: normalize.NotSent, Msg: msg}
	}
	if enc := h.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return refused("the body must not be compressed")
	}
	types := h.Values("Content-Type")
	if len(types) != 1 {
		return refused("send one Content-Type header: " + strings.Join(accepted, " or "))
	}
	mediaType, params, err := mime.ParseMediaType(types[0])
	if err != nil {
		return refused("the Content-Type cannot be read; send " + strings.Join(accepted, " or "))
	}
	for _, a := range accepted {
		if mediaType != a {
			continue
		}
		if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
			return refused("the body must be in UTF-8")
		}
		return nil
	}
	return refused("the Content-Type must be " + strings.Join(accepted, " or "))
}
