package httpapi

import (
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/polyvault/polyvault/normalize"
)

// ExplainRoutes says which providers a create would go to, and why.
func (a *API) ExplainRoutes(c echo.Context) error {
	n, err := readBody(c, a.maxBody, mediaJSON)
	if err != nil {
		return err
	}
	in, err := decodeExplain(n)
	if err != nil {
		return err
	}
	decision, err := a.service(c).Explain(c.Request().Context(), tenant(c), in)
	if err != nil {
		return err
	}
	return ok(c, decision)
}

func decodeExplain(n *node) (normalize.ExplainInput, error) {
	var d decoder
	o := d.object(n, "")
	in := normalize.ExplainInput{
		CustomerID: o.text("customer_id"), Type: normalize.Type(o.text("type")), Currency: o.text("currency"), Country: o.text("country"),
		Brand: normalize.Brand(o.text("brand")), BIN: o.text("bin"), Metadata: o.texts("metadata"), Provider: o.text("provider"),
	}
	for i, item := range o.list("source_types") {
		// One that cannot be read keeps its place, so that the others' pointers stay right.
		in.SourceTypes = append(in.SourceTypes, normalize.SourceType(d.text(item, o.at("source_types")+"/"+strconv.Itoa(i))))
	}
	o.end()
	return in, d.err(in.Validate)
}
