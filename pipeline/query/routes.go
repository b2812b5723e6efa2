package query

import (
	"net/http"

	"lull/operators"
)

// openAPIPath is where the document of the API is.
const openAPIPath = "/v1/openapi.json"

// route is a resource.
type route struct {
	path       string
	summary    string
	doc        string
	parameters []parameter
	// body is the answer of 200; nil: any object.
	body any
	// fails are the statuses of failures besides those of all routes.
	fails  []int
	answer func(a *api, r *request) (any, error)
}

// routes are what can be asked for: what is served, and what the document says, come from here.
var routes []route

func init() { // their answers read the document, which reads them
	routes = []route{
		{
			path: "/v1/customers", summary: "Customers, page by page",
			doc: "All customers of these kinds, in this order, of all processes of the group. A page has the first of those that come behind the cursor. An order by deadline or value leaves out who has none. " +
				"Each process walks through all of its customers for a page, one request at a time; in the order of ids only until the page is full.",
			parameters: []parameter{
				{name: "sort", values: enums["sort"], deflt: byID, doc: "id; deadline: whose row in the scores table silence changes soonest; value_about_to_be_lost: of the most that contact can save"},
				{name: "segment", values: enums["segment"], doc: "only who is in this quadrant"},
				{name: "rfm_group", values: enums["rfm_group"], doc: "only who is in this group of RFM scores"},
				{name: "lifecycle", values: enums["lifecycle"], doc: "only who is in this stage of the lifecycle"},
				{name: "rising", values: []string{"true", "false"}, doc: "only who is of high potential at low spend so far, or is not"},
				{name: "limit", least: 1, most: pageMax, deflt: pageDefault, doc: "customers on a page at most"},
				{name: "cursor", pattern: `^[A-Za-z0-9_-]{1,8192}$`, doc: "next_cursor of the page before; all other parameters as for that one"},
				{name: "as_of", instant: true, doc: "the instant that numbers are evaluated at, unless a customer was heard of later: the least watermark, which is the default, or a later instant, as if everybody were silent until then; an earlier one is refused. Segments and stages, also those that are filtered by, are as they stand now. RFC 3339, or a date, which is its 00:00 in calendar.timezone"},
				partialParameter,
			},
			body: List{}, answer: list,
		},
		{
			path: "/v1/customers/{id}", summary: "One customer's card", doc: "What has happened, what the model makes of it, segments, consents and deadlines.",
			parameters: []parameter{idParameter, waitParameter}, body: Card{}, fails: customerFails, answer: ofCustomer(StateOnly, card),
		},
		{
			path: "/v1/customers/{id}/p-alive", summary: "One customer's P(alive) over time",
			doc:        "From the first of their purchases, or as many as there are points for, until now, and in silence until the next deadline. All of it is what the model in force says of the purchases that are known now.",
			parameters: []parameter{idParameter, waitParameter, {name: "points", least: 4, most: pointsMax, deflt: pointsDefault, doc: "how many points there are, about; at least each of the purchases that are reached back to has one"}},
			body:       Course{}, fails: append([]int{409}, customerFails...), answer: ofCustomer(WithDays, course),
		},
		{
			path: "/v1/customers/{id}/what-if", summary: "What would become of one customer",
			doc: "If they ordered now, or were silent until an instant. Nothing is written.",
			parameters: []parameter{
				idParameter, waitParameter,
				{name: "order", pattern: orderPattern, example: "expected", doc: "an order now: its value in major units of the currency, with its decimals at most, or expected: the value that the model expects of one"},
				{name: "silent_until", instant: true, doc: "silence until this instant, which is not before now; RFC 3339, or a date, which is its 00:00 in calendar.timezone"},
			},
			body: WhatIf{}, fails: append([]int{409}, customerFails...), answer: ofCustomer(WithDays, whatIf),
		},
		{
			path: "/v1/counts", summary: "How many customers there are of each kind", doc: "Of all processes of the group. Each walks through all of its customers for it, one request at a time.",
			parameters: []parameter{partialParameter}, body: Counts{}, answer: counts,
		},
		{
			path: "/v1/partitions", summary: "How far the partitions have come", doc: "Of all processes of the group.",
			body: Partitions{}, answer: partitions,
		},
		{
			path: openAPIPath, summary: "This document", doc: "OpenAPI 3.1.",
			answer: func(*api, *request) (any, error) { return raw{status: http.StatusOK, text: OpenAPI()}, nil },
		},
	}
	for i := range routes {
		for j := range routes[i].parameters {
			if p := &routes[i].parameters[j]; p.in == "" {
				p.in = "query"
			}
		}
	}
}

var (
	idParameter   = parameter{name: "id", in: "path", example: "20453", doc: "the customer's id in UTF-8, percent-encoded"}
	waitParameter = parameter{
		name: "wait_for", pattern: waitPattern, example: "shop-events/3/9160",
		doc: "an input record, as TOPIC/PARTITION/OFFSET: the answer has it in it, unless it was refused, or is 504 when http.timeout has passed. Who has produced it so reads their own write",
	}
	partialParameter = parameter{name: "partial", values: []string{"true", "false"}, deflt: "false", doc: "true: without the customers of partitions that nobody answers for, instead of 503"}

	customerFails = []int{404, 421, 504}
)

// waitPattern describes what parseRecord takes.
const waitPattern = `^[A-Za-z0-9._-]{1,249}/[0-9]{1,9}/[0-9]{1,18}$`

// enums are the values of fields and parameters that have few.
var enums = map[string][]string{
	"sort":      {byID, byDeadline, byLoss},
	"segment":   namesOf(operators.NoQuadrant, operators.Save),
	"lifecycle": namesOf(operators.NoLifecycle, operators.WonBack),
	"rfm_group": namesOf(operators.NoRFMGroup, operators.DormantCustomers),
	"point":     {"purchase", "silence", "now", "foretold", "deadline"},
}

// namesOf returns the names of values that follow one another.
func namesOf[T interface {
	~uint8
	String() string
}](first, last T) (names []string) {
	for v := first; v <= last; v++ {
		names = append(names, v.String())
	}
	return names
}
