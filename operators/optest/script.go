package optest

import (
	"fmt"
	"strings"

	"lull/operators"
)

// Script runs a script line by line and returns what came of it, a line for each event refused and each output. A line is
//
//	an event      in the notation of ParseEvent; without an id it gets m1, m2 and so on
//	watermark T   the watermark moves to T
//	# ...         a comment
func (r *Runner) Script(script string) (string, error) {
	var text strings.Builder
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		seen := len(r.Outputs)
		refused := ""
		if at, ok := strings.CutPrefix(line, "watermark "); ok {
			to, err := ParseTime(at)
			if err != nil {
				return "", err
			}
			r.Advance(to)
		} else {
			e, err := ParseEvent(line)
			if err != nil {
				return "", err
			}
			r.events++
			if e.ID == "" {
				e.ID = fmt.Sprintf("m%d", r.events)
			}
			refused = r.Event(&e)
		}
		for i := range r.Outputs[seen:] {
			fmt.Fprintf(&text, "%s\n", OutputText(&r.Outputs[seen+i]))
		}
		if refused != "" {
			fmt.Fprintf(&text, "refused (%s): %s\n", refused, line)
		}
	}
	return text.String(), nil
}

// OutputText returns an output on one line: a session or a rejection with all it holds, of the others the kind and the time.
func OutputText(o *operators.Output) string {
	switch o.Kind {
	case operators.SessionOutput:
		return fmt.Sprintf("output at %s: session %s", o.Time, SessionText(o.Session))
	case operators.RejectOutput:
		return fmt.Sprintf("output at %s: rejected, %s: %s", o.Time, o.Reject.Reason, o.Reject.Detail)
	}
	return fmt.Sprintf("output at %s: %s", o.Time, o.Kind)
}

// SessionText returns a session on one line.
func SessionText(s *operators.Session) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s to %s:", s.Start, s.End)
	for kind, n := range s.Counts {
		if n > 0 {
			fmt.Fprintf(&text, " %d %s", n, operators.EventKind(kind))
		}
	}
	if s.FirstPageAt != operators.Unset {
		fmt.Fprintf(&text, ", pages %q to %q", s.FirstPage, s.LastPage)
	}
	if s.Cart != 0 {
		fmt.Fprintf(&text, ", cart %d", s.Cart)
	}
	if s.CartLeft() {
		text.WriteString(", cart left")
	}
	return text.String()
}
