package builtin

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"

	"portway/gateway/exchange"
	"portway/internal/ident"
	"portway/internal/logistics"
	"portway/internal/problem"
)

// Page sizes of the order feed.
const (
	defaultPage = 50
	maxPage     = 200
)

type feed struct {
	Items []feedItem `json:"items"`
	Next  string     `json:"next"`
	More  bool       `json:"more"`
}

type feedItem struct {
	Position string          `json:"position"`
	Kind     string          `json:"kind"`
	Version  int             `json:"version"`
	Order    json.RawMessage `json:"order"`
}

// listOrderFeed answers one page of what was released, amended or cancelled for the caller (RULES 19).
func (d Deps) listOrderFeed(ctx context.Context, x *exchange.Exchange) (*exchange.Response, error) {
	org, env, err := caller(x)
	if err != nil {
		return nil, err
	}
	scope := "orders/feed/" + string(org) + "/" + string(env)
	after := int64(0)
	cursor, _ := x.Params["query.after"].(string)
	if cursor != "" {
		if after, err = d.Cursors.Open(scope, cursor); err != nil {
			return nil, problem.Wrap(problem.CursorInvalid, err, "the cursor is not one of this feed; start again without it")
		}
	}
	items, more, err := d.Log.Feed(ctx, org, env, after, pageSize(x))
	if err != nil {
		return nil, err
	}
	out := feed{Items: make([]feedItem, 0, len(items)), Next: cursor, More: more}
	for i := range items {
		content, err := canonical(items[i].Event.Data)
		if err != nil {
			return nil, err
		}
		after = items[i].Position
		out.Items = append(out.Items, feedItem{Position: d.Cursors.Seal(scope, after), Kind: kindOf(items[i].Event.Type),
			Version: versionOf(items[i].Event.Data, items[i].Order.Version), Order: content})
	}
	if len(items) > 0 || cursor == "" {
		out.Next = d.Cursors.Seal(scope, after)
	}
	return answer(out)
}

func pageSize(x *exchange.Exchange) int {
	n, ok := x.Params["query.limit"].(json.Number)
	if !ok {
		return defaultPage
	}
	size, err := n.Int64()
	if err != nil || size < 1 || size > maxPage {
		return defaultPage
	}
	return int(size)
}

// kindOf is "released" for "order.released.v1".
func kindOf(eventType string) string {
	parts := strings.Split(eventType, ".")
	if len(parts) < 2 {
		return eventType
	}
	return parts[1]
}

// versionOf is the order version a statement speaks of.
func versionOf(data json.RawMessage, otherwise int) int {
	var s struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &s); err != nil || s.Version == 0 {
		return otherwise
	}
	return s.Version
}

// canonical is a statement without the members that intake added about how it came.
func canonical(data json.RawMessage) (json.RawMessage, error) {
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, err
	}
	for _, ours := range []string{"refs", "recordedAt", "timezoneSource", "source"} {
		delete(members, ours)
	}
	return json.Marshal(members)
}

type orderStatus struct {
	Order       string                `json:"order"`
	Version     int                   `json:"version"`
	State       logistics.OrderState  `json:"state"`
	Fulfiller   string                `json:"fulfiller,omitempty"`
	Claim       string                `json:"claim,omitempty"`
	ClaimedTill string                `json:"claimedUntil,omitempty"`
	PromisedFor string                `json:"promisedShipDate,omitempty"`
	InExecution bool                  `json:"inExecution"`
	DeliveredAt string                `json:"deliveredAt,omitempty"`
	UpdatedAt   string                `json:"updatedAt"`
	Lines       []logistics.Line      `json:"lines"`
	Shipments   []logistics.Shipment  `json:"shipments"`
	Milestones  []logistics.Milestone `json:"milestones"`
	Content     json.RawMessage       `json:"content"`
}

// getOrder answers where an order stands that the caller owns or fulfils; any other does not exist for it.
func (d Deps) getOrder(ctx context.Context, x *exchange.Exchange) (*exchange.Response, error) {
	org, env, err := caller(x)
	if err != nil {
		return nil, err
	}
	number, err := url.PathUnescape(x.PathParams["order"])
	if err != nil {
		return nil, problem.New(problem.OrderUnknown, "no such order")
	}
	o, err := d.Log.Order(ctx, org, env, number)
	if err != nil {
		return nil, err
	}
	content, err := canonical(o.Body)
	if err != nil {
		return nil, err
	}
	var released struct {
		Fulfiller string `json:"fulfiller"`
	}
	if err := json.Unmarshal(o.Body, &released); err != nil {
		return nil, err
	}
	return answer(orderStatus{Order: o.Number, Version: o.Version, State: o.State, Fulfiller: released.Fulfiller,
		Claim: o.Claim, ClaimedTill: o.ClaimedTill, PromisedFor: o.PromisedFor, InExecution: o.InExecution,
		DeliveredAt: o.DeliveredAt, UpdatedAt: instant(o.Updated), Lines: orEmpty(o.Lines), Shipments: orEmpty(o.Shipments),
		Milestones: orEmpty(o.Milestones), Content: content})
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// pathID is the UUIDv7 in a path parameter; anything else is no such resource.
func pathID(x *exchange.Exchange, name string) (string, error) {
	id := x.PathParams[name]
	if !ident.ValidID(id) {
		return "", problem.New(problem.NotFound, "no such resource")
	}
	return id, nil
}
