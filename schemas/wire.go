package schemas

// The shapes of the schemas in Go. Instants are milliseconds since 1970, days are days since then.

type wireEvent struct {
	Kind       uint8    `avro:"kind"` // operators.EventKind - 1
	MessageID  *string  `avro:"message_id"`
	CustomerID string   `avro:"customer_id"`
	Time       int64    `avro:"time"`
	OrderID    *string  `avro:"order_id"`
	RefundID   *string  `avro:"refund_id"`
	Amount     *int64   `avro:"amount"`
	Currency   *string  `avro:"currency"`
	Whole      bool     `avro:"whole"`
	Quantity   *float64 `avro:"quantity"`
	Name       *string  `avro:"name"`
	Subject    *string  `avro:"subject"`
	Proof      *string  `avro:"proof"`
}

// eventSlots is a wireEvent with room for all that may be null in it, so that reading or writing it allocates nothing.
type eventSlots struct {
	wireEvent
	messageID, orderID, refundID, currency, name, subject, proof string
	amount                                                       int64
	quantity                                                     float64

	// mapping and its rule are those by which the event was read; nil without one.
	mapping *Mapping
	rule    *rule
}

// open points everything that may be null at its slot, for a decoder to fill or to set to null.
func (s *eventSlots) open() {
	s.MessageID, s.OrderID, s.RefundID, s.Currency = &s.messageID, &s.orderID, &s.refundID, &s.currency
	s.Name, s.Subject, s.Proof = &s.name, &s.subject, &s.proof
	s.Amount, s.Quantity = &s.amount, &s.quantity
}

// text returns the string, "" for null.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

type wireKindCount struct {
	Kind  string `avro:"kind"`
	Count int64  `avro:"count"`
}

type wireSession struct {
	CustomerID string          `avro:"customer_id"`
	Start      int64           `avro:"start"`
	End        int64           `avro:"end"`
	DwellMs    int64           `avro:"dwell_ms"`
	Events     int64           `avro:"events"`
	Counts     []wireKindCount `avro:"counts"`
	FirstPage  *string         `avro:"first_page"`
	LastPage   *string         `avro:"last_page"`
	Cart       int64           `avro:"cart"`
	Orders     int64           `avro:"orders"`
	CartLeft   bool            `avro:"cart_left"`
	Revision   int64           `avro:"revision"`
}

type wireFacts struct {
	AsOf              int64   `avro:"as_of"`
	RepeatPurchases   int64   `avro:"repeat_purchases"`
	LastPurchaseAge   float64 `avro:"last_purchase_age_days"`
	Age               float64 `avro:"age_days"`
	SinceLastPurchase float64 `avro:"since_last_purchase_days"`
	PAlive            float64 `avro:"p_alive"`
	ChurnRisk         float64 `avro:"churn_risk"`
	BuysAgain         float64 `avro:"buys_again"`
	ExpectedPurchases float64 `avro:"expected_purchases"`
	ExpectedSpend     float64 `avro:"expected_spend"`
	CLV               float64 `avro:"clv"`
	ValueAtRisk       float64 `avro:"value_at_risk"`
	AboutToBeLost     float64 `avro:"value_about_to_be_lost"`
	HighValue         bool    `avro:"high_value"`
	HighRiskAt        *int64  `avro:"high_risk_at"`
	Currency          string  `avro:"currency"`
	HorizonDays       float64 `avro:"horizon_days"`
	ContactDays       float64 `avro:"contact_days"`
}

type wireScore struct {
	CustomerID      string `avro:"customer_id"`
	Model           string `avro:"model"`
	NextDeadline    *int64 `avro:"next_deadline"`
	Purchases       int64  `avro:"purchases"`
	Orders          int64  `avro:"orders"`
	FirstPurchase   int32  `avro:"first_purchase"`
	LastPurchase    int32  `avro:"last_purchase"`
	Realized        int64  `avro:"realized_value"`
	RealizedRepeat  int64  `avro:"realized_repeat_value"`
	wireFacts       `avro:",inline"`
	DiscountMonthly float64 `avro:"discount_monthly"`
	Margin          float64 `avro:"margin"`
	Revision        int64   `avro:"revision"`
}

type wireCause struct {
	Kind     uint8   `avro:"kind"` // operators.InputKind - 1
	EventID  *string `avro:"event_id"`
	Deadline *int64  `avro:"deadline"`
}

type wireSegment struct {
	CustomerID string     `avro:"customer_id"`
	Time       int64      `avro:"time"`
	Dimension  uint8      `avro:"dimension"` // operators.Dimension
	From       string     `avro:"from"`
	To         string     `avro:"to"`
	Cause      wireCause  `avro:"cause"`
	Model      string     `avro:"model"`
	Facts      *wireFacts `avro:"facts"`
	RFM        *wireRFM   `avro:"rfm"`
	Reasons    []string   `avro:"reasons"`
	Revision   int64      `avro:"revision"`
}

type wireRFM struct {
	SinceLastPurchase int32 `avro:"since_last_purchase"`
	Frequency         int32 `avro:"frequency"`
	Monetary          int32 `avro:"monetary"`
}

type wireTrigger struct {
	CustomerID string    `avro:"customer_id"`
	Rule       string    `avro:"rule"`
	From       string    `avro:"from"`
	To         string    `avro:"to"`
	Deadline   int64     `avro:"deadline"`
	Cause      wireCause `avro:"cause"`
	Actionable bool      `avro:"actionable"`
	Withheld   *string   `avro:"withheld"`
	Model      string    `avro:"model"`
	Facts      wireFacts `avro:"facts"`
	Reasons    []string  `avro:"reasons"`
	Revision   int64     `avro:"revision"`
	Withdraws  *string   `avro:"withdraws"`

	RuleVersion     string         `avro:"rule_version"`
	Severity        string         `avro:"severity"`
	Action          *string        `avro:"action"`
	Control         bool           `avro:"control"`
	ConsentPurpose  *string        `avro:"consent_purpose"`
	ConsentProof    *string        `avro:"consent_proof"`
	FactsUsed       []wireFactUsed `avro:"facts_used"`
	Counterfactuals []string       `avro:"counterfactuals"`
	OfferCeiling    *float64       `avro:"offer_ceiling"`
	Priority        float64        `avro:"priority"`
}

type wireFactUsed struct {
	Name  string `avro:"name"`
	Value string `avro:"value"`
}

type wireOffer struct {
	CustomerID   string     `avro:"customer_id"`
	OfferID      string     `avro:"offer_id"`
	Time         int64      `avro:"time"`
	EventID      string     `avro:"event_id"`
	Amount       int64      `avro:"amount"`
	Currency     string     `avro:"currency"`
	Accepted     bool       `avro:"accepted"`
	Reason       string     `avro:"reason"`
	Ceiling      int64      `avro:"ceiling"`
	Cap          *int64     `avro:"cap"`
	Share        float64    `avro:"share"`
	CLVLow       float64    `avro:"clv_p10"`
	LostShare    float64    `avro:"lost_share"`
	SavedLow     float64    `avro:"saved_p10"`
	Purpose      *string    `avro:"purpose"`
	Consent      *uint8     `avro:"consent"`
	ConsentSince *int64     `avro:"consent_since"`
	Proof        *string    `avro:"proof"`
	Model        string     `avro:"model"`
	Facts        *wireFacts `avro:"facts"`
	Reasons      []string   `avro:"reasons"`
	Revision     int64      `avro:"revision"`
}

type wireHeader struct {
	Key   string  `avro:"key"`
	Value *[]byte `avro:"value"`
}

type wireDeadLetter struct {
	Reason         string       `avro:"reason"`
	Detail         string       `avro:"detail"`
	Operator       *string      `avro:"operator"`
	CustomerID     *string      `avro:"customer_id"`
	Deadline       *int64       `avro:"deadline"`
	Topic          *string      `avro:"topic"`
	Partition      int32        `avro:"partition"`
	Offset         int64        `avro:"offset"`
	AppendTime     *int64       `avro:"append_time"`
	Key            *[]byte      `avro:"key"`
	KeyLength      int64        `avro:"key_length"`
	Value          *[]byte      `avro:"value"`
	ValueLength    int64        `avro:"value_length"`
	ValueSHA256    *string      `avro:"value_sha256"`
	Headers        []wireHeader `avro:"headers"`
	HeadersLeftOut int64        `avro:"headers_left_out"`
}

type wireModel struct {
	Version     string    `avro:"version"`
	Family      string    `avro:"family"`
	EffectiveAt int64     `avro:"effective_at"`
	R           float64   `avro:"r"`
	AlphaDays   float64   `avro:"alpha_days"`
	A           float64   `avro:"a"`
	B           float64   `avro:"b"`
	P           float64   `avro:"p"`
	Q           float64   `avro:"q"`
	V           float64   `avro:"v"`
	HighValue   float64   `avro:"high_value"`
	Cuts        *wireCuts `avro:"cuts"`
	Fit         *wireFit  `avro:"fit"`
}

type wireCuts struct {
	SinceLastPurchase []float64 `avro:"since_last_purchase_days"`
	Purchases         []float64 `avro:"purchases"`
	Monetary          []float64 `avro:"monetary"`
	CLV               []float64 `avro:"clv"`
}

type wireFit struct {
	AsOf            int64     `avro:"as_of"`
	Customers       int64     `avro:"customers"`
	RepeatPurchases int64     `avro:"repeat_purchases"`
	LogLikelihood   float64   `avro:"log_likelihood"`
	Covariance      []float64 `avro:"covariance"`
	SpendCovariance []float64 `avro:"spend_covariance"`
	Prior           bool      `avro:"prior"`
	SpendPrior      bool      `avro:"spend_prior"`
}

type wireStatistics struct {
	Partition int32        `avro:"partition"`
	Edition   int64        `avro:"edition"`
	Kind      uint8        `avro:"kind"` // statistics.PartKind, or headKind
	Number    int32        `avro:"number"`
	Births    []wireBirths `avro:"births"`
	Spends    []wireSpends `avro:"spends"`
	Members   []wireMember `avro:"members"`
	Head      *wireHead    `avro:"head"`
}

type wireBirths struct {
	X         int32 `avro:"repeat_purchases"`
	LastWeek  int32 `avro:"last_week"`
	Customers int64 `avro:"customers"`
	FirstDays int64 `avro:"first_days"`
	LastDays  int64 `avro:"last_days"`
	Net       int64 `avro:"net"`
	RepeatNet int64 `avro:"repeat_net"`
}

type wireSpends struct {
	Bin       int32 `avro:"bin"`
	Customers int64 `avro:"customers"`
	RepeatNet int64 `avro:"repeat_net"`
}

type wireMember struct {
	Hash      int64   `avro:"hash"`
	First     int32   `avro:"first_purchase"`
	Last      int32   `avro:"last_purchase"`
	Purchases int64   `avro:"purchases"`
	Orders    int64   `avro:"orders"`
	Net       int64   `avro:"net"`
	FirstNet  int64   `avro:"first_net"`
	Newest    []int32 `avro:"newest"`
}

type wireHead struct {
	Watermark    *int64 `avro:"watermark"`
	Customers    int64  `avro:"customers"`
	SampledBelow *int64 `avro:"sampled_below"`
	Parts        int64  `avro:"parts"`
}
