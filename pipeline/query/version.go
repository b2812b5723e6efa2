package query

import "net/http"

// Version is that of what the API's answers mean. It rises when a client has to change.
const Version = "2"

// VersionHeader names the version in every answer, and in what one process of the group asks another: none takes for its own what another version means otherwise.
const VersionHeader = "Lull-API-Version"

// OtherVersion reports whether an answer, or a request of another process, is of another version than this, and what to call that. Those before the header was are called earlier.
func OtherVersion(h http.Header) (name string, other bool) {
	switch says := h.Get(VersionHeader); says {
	case Version:
		return "", false
	case "":
		return "an earlier version", true
	default:
		return "version " + says, true
	}
}
