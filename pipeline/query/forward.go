package query

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
)

// answerBytesMax is the longest answer of another process that is passed on: more than a page of the longest customers' ids.
const answerBytesMax = 32 << 20

// forward has the owners of the partitions that a customer can be in answer, one after the other and each once: who is asked does not pass the request on. What the group said some seconds ago may
// have changed, so that it is asked anew for the partitions that nobody has looked into; only other owners than before are asked then.
func (a *api) forward(r *request, id string, missing *NotOwnedError) (any, error) {
	left := slices.Clone(missing.Partitions)
	asked, failed := make(map[int32]string), make(map[int32]error)
	var owners map[int32]string
	for _, anew := range []bool{false, true} {
		var err error
		if owners, err = a.Members.Owners(r.Context(), anew); err != nil {
			return nil, err
		}
		for _, n := range slices.Clone(left) {
			owner := owners[n]
			if owner == "" || owner == asked[n] || !slices.Contains(left, n) {
				continue
			}
			of := slices.DeleteFunc(slices.Clone(left), func(n int32) bool { return owners[n] != owner })
			body, err := a.ask(r.Context(), r.Request, owner, r.uri(), numbers(of))
			if err == nil && body.status == http.StatusNotFound {
				left = slices.DeleteFunc(left, func(n int32) bool { return slices.Contains(of, n) })
				continue
			}
			if err == nil && body.status != http.StatusMisdirectedRequest && body.status != http.StatusServiceUnavailable {
				return body, nil
			}
			for _, n := range of {
				asked[n], failed[n] = owner, cmp.Or(err, body.failure(owner))
			}
		}
		if len(left) == 0 {
			return nil, missing.nowhere(id)
		}
	}
	if owners[left[0]] == "" {
		return nil, fmt.Errorf("customer %q: %w", id, &NotOwnedError{Partitions: left[:1], Why: "is not this process's, and no process of the group says where it answers for it: set http.advertise in each of them, ask them one by one, " +
			"or try again if the group is about to assign it"})
	}
	return nil, failed[left[0]]
}

// ask has another process answer for what the hop names, to whom the asker's token is shown. What the asker sent besides is not passed on.
func (a *api) ask(ctx context.Context, of *http.Request, address, uri, hop string) (raw, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address+uri, http.NoBody)
	if err != nil {
		//lull:unread http.advertise has been checked
		return raw{}, fmt.Errorf("asking the process at %s: %w", address, err)
	}
	r.Header.Set(hopHeader, hop)
	r.Header.Set(VersionHeader, Version)
	if token := of.Header.Get("Authorization"); token != "" {
		r.Header.Set("Authorization", token)
	}
	response, err := a.Members.Do(r)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
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
	if version, other := OtherVersion(response.Header); other {
		return raw{}, &statusError{http.StatusServiceUnavailable, fmt.Sprintf("the process at %s answers by %s of the API, this one by version %s: replace the older one too", address, version, Version)}
	}
	return raw{response.StatusCode, text, response.Header.Get("Retry-After")}, nil
}

// failure is the error of an answer that is no success.
func (b *raw) failure(address string) error {
	var why Failure
	_ = json.Unmarshal(b.text, &why) // it is JSON
	return &statusError{http.StatusServiceUnavailable, fmt.Sprintf("the process at %s answers %d: %s", address, b.status, why.Error)}
}
