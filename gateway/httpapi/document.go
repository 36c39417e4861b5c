package httpapi

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed" // the document and its page
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
	"go.yaml.in/yaml/v3"

	"github.com/polyvault/polyvault/normalize"
)

//go:embed openapi.yaml
var documentYAML []byte

//go:embed docs/index.html
var docsPage []byte

//go:embed docs/start.js
var docsStart []byte

// docsReference is the Scalar API reference 1.46.4 (MIT, see docs/reference.LICENSE):
// the one file dist/browser/standalone.js of the npm package @scalar/api-reference, compressed.
//
//go:embed docs/reference.js.gz
var docsReference []byte

// document is the contract in the form in which it is served.
type document struct {
	json         []byte
	operationIDs []string
}

func loadDocument() (document, error) {
	var whole any
	if err := yaml.Unmarshal(documentYAML, &whole); err != nil {
		return document{}, fmt.Errorf("the API document: %w", err)
	}
	b, err := json.Marshal(whole)
	if err != nil {
		return document{}, fmt.Errorf("the API document: %w", err)
	}
	var paths struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(b, &paths); err != nil {
		return document{}, fmt.Errorf("the API document: %w", err)
	}
	d := document{json: b}
	for _, methods := range paths.Paths {
		for _, raw := range methods {
			var op struct {
				OperationID string `json:"operationId"`
			}
			// A path's shared parameters are an array, and no operation.
			if json.Unmarshal(raw, &op) == nil && op.OperationID != "" {
				d.operationIDs = append(d.operationIDs, op.OperationID)
			}
		}
	}
	return d, nil
}

// GetDocument serves the contract as JSON.
func (a *API) GetDocument(c echo.Context) error {
	return static(c, mediaJSON, a.document.json)
}

// GetDocs serves the page that shows the contract. It loads nothing from
// elsewhere, and its policy lets it do so neither.
func (a *API) GetDocs(c echo.Context) error {
	c.Response().Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "+
		"img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "+
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	c.Response().Header().Set("Referrer-Policy", "no-referrer")
	return static(c, "text/html; charset=utf-8", docsPage)
}

// GetDocsAsset serves the page's scripts.
func (a *API) GetDocsAsset(c echo.Context, asset string) error {
	const javascript = "text/javascript; charset=utf-8"
	switch asset {
	case "start.js":
		return static(c, javascript, docsStart)
	case "reference.js":
		c.Response().Header().Set("Vary", "Accept-Encoding")
		if strings.Contains(c.Request().Header.Get("Accept-Encoding"), "gzip") {
			c.Response().Header().Set("Content-Encoding", "gzip")
			return static(c, javascript, docsReference)
		}
		r, err := gzip.NewReader(bytes.NewReader(docsReference))
		if err != nil {
			return err
		}
		plain, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		return static(c, javascript, plain)
	default:
		return &normalize.Error{Code: normalize.NotFound, Outcome: normalize.Rejected, Msg: "there is no such resource"}
	}
}

// static answers with bytes that change with the release only.
func static(c echo.Context, mediaType string, b []byte) error {
	sum := sha256.Sum256(b)
	h := c.Response().Header()
	h.Set("ETag", `"`+base64.RawURLEncoding.EncodeToString(sum[:12])+`"`)
	h.Set("Cache-Control", "no-cache") // may be kept, is asked about
	if notModified(c.Request().Header, h.Get("ETag")) {
		return c.NoContent(http.StatusNotModified)
	}
	return c.Blob(http.StatusOK, mediaType, b)
}
