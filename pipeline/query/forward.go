package query

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// answerBytesMax is the longest answer of another process that is passed on: more than a page of the longest customers' ids.
const answerBytesMax = 32 << 20

// forward has the owner of a partition answer, once: who passes a request on does not do so again. What the group said some seconds ago may have changed, so
// that it is asked anew after a failure; only another owner than before is asked then.
func (a *api) forward(r *request, missing *NotOwnedError) (any, error) {
	owners, err := a.Members.Owners(r.Context(), false)
	if err != nil {
		return nil, err
	}
	first := owners[missing.Partition]
	if first != "" {
		if body, err := a.ask(r.Context(), r.Request, first, r.URL.RequestURI()); err == nil && body.status != http.StatusMisdirectedRequest {
			return body, nil
		}
	}
	if owners, err = a.Members.Owners(r.Context(), true); err != nil {
		return nil, err
	}
	switch owner := owners[missing.Partition]; owner {
	case "":
		return nil, &NotOwnedError{missing.Partition, "is not this process's, and no process of the group says where it answers for it: set http.advertise in each of them, ask them one by one, " +
			"or try again if the group is about to assign it"}
	case first:
		return nil, &statusError{http.StatusServiceUnavailable, fmt.Sprintf("partition %d is that of the process at %s, which does not answer for it: its /readyz says more; try again", missing.Partition, owner)}
	default:
		body, err := a.ask(r.Context(), r.Request, owner, r.URL.RequestURI())
		if err != nil {
			return nil, err
		}
		return body, nil
	}
}

// ask has another process answer, to whom the asker's token is shown. What the asker sent besides is not passed on.
func (a *api) ask(ctx context.Context, of *http.Request, address, uri string) (raw, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address+uri, http.NoBody)
	if err != nil {
		//lull:unread http.advertise has been checked
		return raw{}, fmt.Errorf("asking the process at %s: %w", address, err)
	}
	r.Header.Set(hopHeader, "1")
	if token := of.Header.Get("Authorization"); token != "" {
		r.Header.Set("Authorization", token)
	}
	response, err := a.Members.Do(r)
	if err != nil {
		return raw{}, &statusError{http.StatusServiceUnavailable, fmt.Sprintf("the process at %s does not answer (%s): see whether it runs, and whether http.advertise there is its address; try again", address, err)}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, answerBytesMax+1))
	if err != nil || len(text) > answerBytesMax {
		return raw{}, &statusError{http.StatusServiceUnavailable, fmt.Sprintf("the process at %s has not answered in whole: try again, or ask for less", address)}
	}
	if !json.Valid(text) {
		return raw{}, &statusError{http.StatusServiceUnavailable, fmt.Sprintf("what answers at %s is no lull: http.advertise of a process of the group names it", address)}
	}
	return raw{response.StatusCode, text}, nil
}
