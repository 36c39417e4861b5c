// Package rebilly adapts Rebilly's payment instruments.
//
// An instrument lives under two references: "instrument", Rebilly's id, and
// "customer", the id of the customer that owned it when it was last read.
// (Merging customers at Rebilly changes the owner, so no call relies on it.)
//
// Provider facts carry one of these marks: [S26] the OpenAPI definition of
// 2026-08, [S21] the one of 2021, [DOC] the documentation pages, [SDK] the
// official JavaScript client, [INF] not documented, inferred.
package rebilly
