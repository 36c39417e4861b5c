package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

// bulkResult is the answer to a bulk request.
type bulkResult struct {
	Data   []bulkItem `json:"data"`
	Counts bulkCounts `json:"counts"`
}

type bulkCounts struct {
	Total     int `json:"total"`
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
}

// bulkItem is what became of one item; Status is what it would have been answered alone.
type bulkItem struct {
	Index        int                   `json:"index"`
	Status       int                   `json:"status"`
	Deduplicated bool                  `json:"deduplicated,omitzero"`
	Replayed     bool                  `json:"replayed,omitzero"`
	Instrument   *normalize.Instrument `json:"instrument,omitzero"`
	Operation    *gateway.Operation    `json:"operation,omitzero"`
	Problem      *problem              `json:"problem,omitzero"`
}

// ImportInstruments stores many instruments, each by itself.
func (a *API) ImportInstruments(c echo.Context) error {
	n, err := readBody(c, a.maxImportBody, mediaJSON)
	if err != nil {
		return err
	}
	items, err := decodeImport(n, a.now())
	if err != nil {
		return err
	}
	results := a.service(c).Import(withAddress(c), tenant(c), items)
	out := bulk(c, results, func(item *bulkItem, created gateway.Created) {
		item.Status, item.Operation = createdStatus(created), created.Operation
		item.Deduplicated, item.Replayed = created.Deduplicated, created.Replayed
		if created.Operation == nil {
			ins := shown(c, created.Instrument)
			item.Instrument = &ins
		}
	})
	toldItems(c, out, func(i int) (instrument, customer string) { return "", fitCustomer(items[i].Input.CustomerID) })
	return ok(c, out)
}

// BulkDeleteInstruments deletes many instruments, each by itself.
func (a *API) BulkDeleteInstruments(c echo.Context) error {
	n, err := readBody(c, a.maxBody, mediaJSON)
	if err != nil {
		return err
	}
	ids, scope, err := decodeBulkDelete(n)
	if err != nil {
		return err
	}
	results := a.service(c).BulkDelete(c.Request().Context(), tenant(c), ids, scope)
	out := bulk(c, results, func(item *bulkItem, _ gateway.Created) { item.Status = http.StatusNoContent })
	toldItems(c, out, func(i int) (instrument, customer string) { return fit(ids[i], isRecordID(ids[i])), "" })
	return ok(c, out)
}

// bulk renders the results; succeeded fills in an item that did.
func bulk(c echo.Context, results []gateway.ItemResult, succeeded func(*bulkItem, gateway.Created)) bulkResult {
	x := exchangeOf(c)
	out := bulkResult{Data: make([]bulkItem, len(results))}
	out.Counts.Total = len(results)
	for i, r := range results {
		item := bulkItem{Index: i}
		if r.Err == nil {
			out.Counts.Succeeded++
			succeeded(&item, r.Created)
		} else {
			out.Counts.Failed++
			p := newProblem(r.Err, x.requestID, x.keyed)
			item.Status, item.Problem = p.Status, &p
			if p.Status >= http.StatusInternalServerError {
				x.err = r.Err // the last one stands for all in the log line
			}
		}
		out.Data[i] = item
	}
	return out
}
