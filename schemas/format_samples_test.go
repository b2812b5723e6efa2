package schemas

import (
	"encoding/binary"
	"testing"

	"github.com/twmb/avro"

	"lull/operators"
)

// formatSample is an order in one of the formats, and what decodes it.
type formatSample struct {
	decoder    *Decoder
	key, value []byte
}

func sampleOf(t testing.TB, format Format, schema, mapping string, writers Writers, value []byte) formatSample {
	t.Helper()
	var m *Mapping
	var err error
	if mapping != "" {
		if m, err = ParseMapping([]byte(mapping)); err != nil {
			t.Fatal(err)
		}
	}
	input, err := NewInput("input", format, schema, m, writers)
	if err != nil {
		t.Fatal(err)
	}
	return formatSample{decoder: newDecoder(t, func(c *DecoderConfig) { c.Input = input }), key: []byte("customer-000123456"), value: value}
}

func segmentSample(t testing.TB) formatSample {
	return sampleOf(t, SegmentJSON, "", "", nil, []byte(`{"anonymousId":"8f2c6d1e-77aa-4a0e-9b7e-5d1f3c2b1a00","context":{"ip":"203.0.113.7","library":{"name":"analytics.js","version":"4.1"},`+
		`"page":{"path":"/checkout","referrer":"","search":"","title":"Checkout","url":"https://shop.example/checkout"},"userAgent":"Mozilla/5.0"},"event":"Order Completed",`+
		`"integrations":{},"messageId":"0189f7e0-7c4e-7b1e-8f43-1d2c3b4a5968","originalTimestamp":"1997-09-01T12:00:00.120Z","properties":{"currency":"USD","order_id":"order-00998877",`+
		`"products":[{"name":"Mug","price":9.99,"product_id":"p-1","quantity":2},{"name":"Tea","price":10.01,"product_id":"p-2","quantity":1}],"total":29.99},`+
		`"receivedAt":"1997-09-01T12:00:02.500Z","sentAt":"1997-09-01T12:00:01.000Z","timestamp":"1997-09-01T12:00:01.620Z","type":"track","userId":"customer-000123456","version":2}`))
}

func jsonSample(t testing.TB) formatSample {
	return sampleOf(t, JSON, "", `
version: 1
fields:
  customer_id: customer
  message_id: id
  time: {from: ts, format: milliseconds}
  order_id: order
  amount: {from: total, unit: major}
  currency: {const: USD}
  quantity: lines[].qty
rules: [{kind: order_completed}]`, nil, []byte(`{"id":"0189f7e0-7c4e-7b1e-8f43-1d2c3b4a5968","customer":"customer-000123456","ts":873123456789,"order":"order-00998877","total":29.99,"lines":[{"qty":3}]}`))
}

func csvSample(t testing.TB) formatSample {
	return sampleOf(t, CSV, "", `
version: 1
csv: {columns: [id, customer, ts, order, total]}
fields:
  customer_id: customer
  message_id: id
  time: {from: ts, format: milliseconds}
  order_id: order
  amount: {from: total, unit: major}
  currency: {const: USD}
rules: [{kind: order_completed}]`, nil, []byte("0189f7e0-7c4e-7b1e-8f43-1d2c3b4a5968,customer-000123456,873123456789,order-00998877,29.99"))
}

const fixedSchema = `{"type": "record", "name": "Order", "fields": [
  {"name": "id", "type": "string"}, {"name": "customer", "type": ["null", "string"]}, {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-millis"}},
  {"name": "order", "type": "string"}, {"name": "total", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
  {"name": "lines", "type": {"type": "array", "items": {"type": "record", "name": "Line", "fields": [{"name": "qty", "type": "int"}]}}}]}`

func fixedSample(t testing.TB) formatSample {
	value, err := avro.MustParse(fixedSchema).Encode(map[string]any{
		"id": "0189f7e0-7c4e-7b1e-8f43-1d2c3b4a5968", "customer": "customer-000123456", "ts": int64(873123456789), "order": "order-00998877", "total": "29.99",
		"lines": []any{map[string]any{"qty": 3}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return sampleOf(t, FixedAvro, fixedSchema, `
version: 1
fields:
  customer_id: customer
  message_id: id
  time: ts
  order_id: order
  amount: {from: total, unit: major}
  currency: {const: USD}
  quantity: lines[].qty
rules: [{kind: order_completed}]`, nil, value)
}

func registrySample(t testing.TB) formatSample {
	value, err := EncodeEvent(nil, &operators.Event{
		Kind: operators.OrderCompleted, ID: "0189f7e0-7c4e-7b1e-8f43-1d2c3b4a5968", Customer: "customer-000123456", Time: 873_123_456_789,
		OrderID: "order-00998877", Amount: 2999, Quantity: 3,
	}, "USD")
	if err != nil {
		t.Fatal(err)
	}
	known := &registry{schemas: map[uint32]WriterSchema{7: {Schema: Events.Schema()}}}
	return sampleOf(t, RegistryAvro, "", "", known, append(binary.BigEndian.AppendUint32([]byte{0}, 7), value...))
}

// TestIDOfNoRegistry: an id that no registry can have given is refused without asking for it. Registries answer for it as for a wrong address, which is waited out.
func TestIDOfNoRegistry(t *testing.T) {
	var w writerSchemas
	if _, _, refusal := w.open([]byte{0, 0x80, 0, 0, 1, 2}); refusal == nil || refusal.Reason != ReasonSchemaUnknown {
		t.Errorf("%+v", refusal)
	}
}
