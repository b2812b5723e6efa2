package main

import "testing"

// TestBytesText: sizes are shown in the unit that keeps them below 1024, to the nearest tenth.
func TestBytesText(t *testing.T) {
	for value, want := range map[string]string{
		"0": "0 B", "1023": "1023 B", "1024": "1 KiB", "1075": "1 KiB", "1076": "1.1 KiB", "2097000": "2 MiB", "1048524": "1023.9 KiB", "1048525": "1 MiB",
		"1288490189": "1.2 GiB", "1073741823": "1 GiB", "37795712205": "35.2 GiB", "1649267441664": "1.5 TiB", "9223372036854775807": "8388608 TiB",
		"": "?", "-1": "?", "many": "?",
	} {
		if got := bytesText(value); got != want {
			t.Errorf("%q is shown as %s, want %s", value, got, want)
		}
	}
}
