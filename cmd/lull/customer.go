package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"lull/pipeline/query"
	"lull/pipeline/security"
	"lull/schemas"
)

func newCustomerCommand() *cobra.Command {
	var api string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "customer ID",
		Short: "Show one customer's card, from the read API of a running pipeline",
		Long: `Customer asks a running pipeline for what it knows of a customer, as of the event time that it has reached: facts, predictions,
segment and reasons, when their silence changes segment or triggers and how, and when they are scored again. With --json it
is the answer of GET /v1/customers/ID as it is. Beyond this machine the API wants a token: the first of http.tokens_file or of the environment variable
LULL_HTTP_TOKENS is shown, and the certificate of http.tls.cert_file.`,
		Args: oneArgument("the customer's ID"),
		RunE: running(func(cmd *cobra.Command, args []string) error {
			s, err := loadSettings(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			if api == "" {
				api = "http://" + s.HTTP.Listen
				if s.HTTP.TLS.Enabled() {
					api = "https://" + s.HTTP.Listen
				}
			}
			if u, err := url.Parse(api); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				return usageError{fmt.Errorf("--api %q: it must be a URL such as http://127.0.0.1:8280", api)}
			}
			token, err := security.FirstToken(s.HTTP.Tokens, s.HTTP.TokensFile)
			if err != nil {
				return err
			}
			body, err := fetchCard(cmd.Context(), s.HTTP.TLS.Client((&net.Dialer{}).DialContext), api, token, args[0])
			if err != nil {
				return err
			}
			if asJSON {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", body)
				return err
			}
			var card query.Card
			if err := json.Unmarshal(body, &card); err != nil {
				return fmt.Errorf("reading the answer of %s: %w", api, err)
			}
			return printCard(cmd.OutOrStdout(), &card)
		}),
	}
	cmd.Flags().StringVar(&api, "api", "", "`URL` of the pipeline's HTTP listener (default that of http.listen)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the card as JSON")
	addSettingFlags(cmd, "http.listen", "http.tokens_file", "http.tls.cert_file", "http.tls.key_file", "http.tls.client_ca_file")
	return cmd
}

// fetchCard returns the customer's card as the read API answers it, in JSON. The error of an unknown customer says so.
func fetchCard(ctx context.Context, client *http.Client, api, token, customer string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if customer == "" {
		return nil, usageError{errors.New("ID is empty: it must be the customer's id")}
	}
	address := strings.TrimSuffix(api, "/") + "/v1/customers/" + url.PathEscape(customer)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, usageError{fmt.Errorf("--api %q: %w", api, err)}
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking the pipeline: %w; is it running? --api tells where", err)
	}
	defer response.Body.Close()
	const bodyBytesMax = 1 << 20
	body, err := io.ReadAll(io.LimitReader(response.Body, bodyBytesMax))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", api, err)
	}
	if response.StatusCode == http.StatusOK {
		if version, other := query.OtherVersion(response.Header); other {
			return nil, fmt.Errorf("%s answers by %s of the API, and this lull reads version %s: ask with the lull that runs there", api, version, query.Version)
		}
		return []byte(strings.TrimSpace(string(body))), nil
	}
	var failure struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &failure) != nil || failure.Error == "" {
		failure.Error = response.Status
	}
	return nil, errors.New(failure.Error)
}

// printCard prints the card for a person.
func printCard(w io.Writer, card *query.Card) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-20s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "Customer %s, as of %s\n", card.CustomerID, card.AsOf)
	f := &card.Facts
	line("days with orders", "%d, orders %d", f.Purchases, f.Orders)
	if f.Purchases > 0 {
		line("", "first %s, last %s", f.FirstPurchase, f.LastPurchase)
		digits, _ := schemas.CurrencyDigits(card.Currency)
		line("spent so far", "%.*f %s", digits, f.RealizedValue, card.Currency)
	}
	if q := &card.Quality; q.Score < 1 {
		const most = 0.999 // a score below 1 does not read as 1
		line("data quality", "%.3f: records of theirs that were invalid %d, with a field missing %d, of an unknown currency %d, in the future %d, duplicate %d, late %d", min(q.Score, most), q.Invalid, q.MissingField, q.UnknownCurrency, q.ClockSkewed, q.Duplicate, q.Late)
	}
	if s := card.Score; s != nil {
		line("P(alive)", "%.3f (churn risk %.3f)", s.PAlive, s.ChurnRisk)
		line("expected purchases", "%.2f in %d months; buys within %.0f days with probability %.3f", s.ExpectedPurchases, s.HorizonMonths, s.ContactDays, s.BuysAgain)
		line("CLV", "%.2f %s in %d months", s.CLV, card.Currency, s.HorizonMonths)
		v, n := &s.CLVPoints, &s.NextPurchaseDays
		line("", "%.2f to %.2f %s for 80 of 100 such customers, at most %.2f for half of them", v.Low, v.High, card.Currency, v.Median)
		line("next purchase", "if there is one, in %.0f to %.0f days for 80 of 100 such customers, within %.0f for half of them", n.Low, n.High, n.Median)
		line("about to be lost", "%.2f %s within %.0f days of silence", s.AboutToBeLost, card.Currency, s.ContactDays)
		line("model", "%s", s.Model)
	}
	since := ""
	if card.Since != "" {
		since = " since " + card.Since
	}
	line("segment", "%s%s", card.Segment, since)
	line("RFM group", "%s", card.RFMGroup)
	line("lifecycle", "%s", card.Lifecycle)
	if card.Rising {
		line("rising", "of high potential at low spend so far")
	}
	for i, reason := range card.Reasons {
		line([]string{"reasons", ""}[min(i, 1)], "%s", reason)
	}
	for i, c := range card.Consents {
		line([]string{"consent", ""}[min(i, 1)], "%s", consentText(&c))
	}
	if d := card.Change; d != nil {
		line("if silent", "%s at %s", d.What, d.At)
	} else {
		line("if silent", "neither segment nor triggers change any more")
	}
	if d := card.Deadline; d != nil {
		line("scored again", "%s at %s", d.What, d.At)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// consentText is a consent on one line, such as "email given since 1998-01-04T10:00:00.000Z, proof form 12".
func consentText(c *query.CardConsent) string {
	text := c.Purpose + " withdrawn"
	if c.Given {
		text = c.Purpose + " given"
	}
	text += " since " + c.Since
	if c.Proof != "" {
		text += ", proof " + c.Proof
	}
	return text
}
