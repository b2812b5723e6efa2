package report_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browserEnv names the browser that TestBrowser starts; shotsEnv, if set, a folder for what it sees.
const (
	browserEnv = "LULL_TEST_BROWSER"
	shotsEnv   = "LULL_TEST_SHOTS"
)

// findings is what a browser says of a page, by the script below.
type findings struct {
	ScrollWidth, Width int
	Small              []string // texts that are drawn smaller than a person reads
	Faint              []string // texts that stand out too little
	Cut                []string // texts that leave their drawing
	Over               []string // texts that lie over others
	Drawings, Texts    int
}

// look is run in the page. The contrast of a text is that of WCAG 2, with what lies below its middle.
const look = `(async () => {
	const found = {scrollWidth: document.documentElement.scrollWidth, width: window.innerWidth, small: [], faint: [], cut: [], over: [], drawings: 0, texts: 0};
	for (const d of document.querySelectorAll('details')) d.open = true;
	found.openWidth = document.documentElement.scrollWidth;
	found.scrollWidth = Math.max(found.scrollWidth, found.openWidth);
	const parse = c => { const m = c.match(/rgba?\(([^)]*)\)/); if (!m) return null; const v = m[1].split(/[ ,\/]+/).map(Number); return {rgb: v.slice(0, 3), a: v.length > 3 ? v[3] : 1}; };
	const light = rgb => { const l = rgb.map(v => { v /= 255; return v <= 0.04045 ? v / 12.92 : Math.pow((v + 0.055) / 1.055, 2.4); }); return 0.2126 * l[0] + 0.7152 * l[1] + 0.0722 * l[2]; };
	const below = e => {
		const box = e.getBoundingClientRect();
		for (const under of document.elementsFromPoint(box.x + box.width / 2, box.y + box.height / 2)) {
			if (under === e || under.tagName === 'text' || under.tagName === 'title') continue;
			const style = getComputedStyle(under);
			const c = parse(under instanceof SVGElement && under.tagName !== 'svg' ? style.fill : style.backgroundColor);
			if (c && c.a > 0.99) return c.rgb;
		}
		return parse(getComputedStyle(document.body).backgroundColor)?.rgb ?? [255, 255, 255];
	};
	const seen = e => { const b = e.getBoundingClientRect(); return b.width > 0 && b.height > 0; };
	for (const drawing of document.querySelectorAll('svg')) {
		if (!seen(drawing)) continue;
		found.drawings++;
		const frame = drawing.getBoundingClientRect();
		const boxes = [];
		for (const e of drawing.querySelectorAll('text')) {
			if (!e.textContent.trim()) continue;
			found.texts++;
			e.scrollIntoView({block: 'center'});
			const box = e.getBoundingClientRect(), at = drawing.getBoundingClientRect();
			const name = (drawing.closest('section')?.id ?? '') + ': ' + e.textContent;
			const scale = e.getCTM().a || Math.abs(e.getCTM().b);
			const size = parseFloat(getComputedStyle(e).fontSize) * (drawing.viewBox.baseVal.width ? at.width / drawing.viewBox.baseVal.width : 1);
			if (size < 10) found.small.push(name + ' ' + size);
			if (box.left < at.left - 1 || box.right > at.right + 1 || box.top < at.top - 1 || box.bottom > at.bottom + 1) found.cut.push(name);
			const text = parse(getComputedStyle(e).fill).rgb, ground = below(e);
			const l1 = light(text), l2 = light(ground), contrast = (Math.max(l1, l2) + 0.05) / (Math.min(l1, l2) + 0.05);
			if (contrast < 4.5) found.faint.push(name + ' ' + contrast.toFixed(2) + ' ' + text + ' on ' + ground);
			const here = {name, left: box.left - at.left, right: box.right - at.left, top: box.top - at.top + 2, bottom: box.bottom - at.top - 2};
			for (const other of boxes)
				if (here.left < other.right - 1 && other.left < here.right - 1 && here.top < other.bottom && other.top < here.bottom) found.over.push(name + ' / ' + other.name);
			boxes.push(here);
		}
	}
	for (const e of document.querySelectorAll('h1, h2, p, li, a, dt, dd, summary, th, td, caption, b')) {
		if (!seen(e) || !e.textContent.trim()) continue;
		if (e.tagName === 'DD' && e.scrollWidth > e.clientWidth) found.cut.push(e.textContent);
		found.texts++;
		const style = getComputedStyle(e), name = e.tagName + ' ' + e.textContent.slice(0, 60);
		if (parseFloat(style.fontSize) < 12) found.small.push(name);
		let ground = e, c = null;
		while (ground && !(c && c.a > 0.99)) { c = parse(getComputedStyle(ground).backgroundColor); ground = ground.parentElement; }
		const l1 = light(parse(style.color).rgb), l2 = light(c && c.a > 0.99 ? c.rgb : [255, 255, 255]), contrast = (Math.max(l1, l2) + 0.05) / (Math.min(l1, l2) + 0.05);
		if (contrast < 4.5) found.faint.push(name + ' ' + contrast.toFixed(2));
	}
	for (const d of document.querySelectorAll('details')) d.open = false;
	window.scrollTo(0, 0);
	return JSON.stringify(found);
})()`

// visit is what is looked at, and how.
type visit struct {
	name          string
	width, height int64
	scheme        string
}

var visits = []visit{
	{"phone-light", 360, 780, "light"}, {"phone-dark", 390, 844, "dark"}, {"desktop-light", 1280, 900, "light"}, {"desktop-dark", 1280, 900, "dark"}, {"tablet-light", 720, 1000, "light"},
}

// TestBrowser: in a real browser, at the width of a phone and of a desktop, in light and dark, the page and each figure's file ask for nothing but themselves, say no error, are no wider than the window, and all of their texts are
// large enough, stand out from what they stand on, and lie within their drawing and over no other. So it is with reports of a snapshot with nothing in it, of one with a dozen customers, and of one with amounts of ten digits.
func TestBrowser(t *testing.T) {
	browser := os.Getenv(browserEnv)
	if browser == "" {
		t.Skip("make test-browser runs it")
	}
	full, empty := newShop(1, 3000), newShop(2, 0)
	empty.models, empty.quality, empty.manifest.Model = nil, nil, nil
	few, rich := newShop(3, 12), newShop(4, 800)
	rich.manifest.Application = "a-prefix-of-topics-as-long-as-nobody-would-choose-it.but-may.production."
	for i := range rich.customers {
		c := &rich.customers[i]
		c.RealizedValue *= 1e6
		for _, v := range []*float64{c.CLV, c.ValueAtRisk, c.AboutToBeLost} {
			if v != nil {
				*v *= 1e6
			}
		}
	}
	for i := range rich.orders {
		rich.orders[i].Net *= -1e6 // refunds of more than was paid
	}
	allocator, stop := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.NoSandbox, chromedp.DisableGPU)...)
	defer stop()
	root, end := chromedp.NewContext(allocator)
	defer end()
	if err := chromedp.Do(root); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*shop{"full": full, "few": few, "empty": empty, "rich": rich} {
		dir := reportOf(t, s.write(t))
		files, err := os.ReadDir(dir)
		if err != nil || len(files) < 10 {
			t.Fatalf("%d files, %v", len(files), err)
		}
		for _, file := range files {
			for _, v := range visits {
				if strings.HasSuffix(file.Name(), ".svg") && v.width < 1280 {
					continue // files of figures are for documents
				}
				t.Run(name+"/"+file.Name()+"/"+v.name, func(t *testing.T) { v.look(t, root, "file://"+filepath.Join(dir, file.Name()), name+"-"+file.Name()) })
			}
		}
	}
}

// look opens a page in a new tab.
func (v *visit) look(t *testing.T, root context.Context, url, name string) {
	tab, end := chromedp.NewContext(root)
	defer end()
	var mu sync.Mutex
	var asked, told []string
	err := chromedp.Listen(tab, func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(e.Request.URL, "data:") {
				asked = append(asked, e.Request.URL)
			}
		case *runtime.EventConsoleAPICalled:
			told = append(told, fmt.Sprintf("%s %v", e.Type, e.Args))
		case *runtime.EventExceptionThrown:
			told = append(told, e.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			told = append(told, e.Entry.Text)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	limited, cancel := context.WithTimeout(tab, 2*time.Minute)
	defer cancel()
	colours := chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: v.scheme}}})
		return err
	})
	if err := chromedp.Do(limited, chromedp.EmulateViewport(v.width, v.height), colours, chromedp.Navigate(url)); err != nil {
		t.Fatal(err)
	}
	answer, err := chromedp.Run(limited, chromedp.Evaluate[string](look, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	var found findings
	if err := json.Unmarshal([]byte(answer), &found); err != nil {
		t.Fatal(err)
	}
	if dir := os.Getenv(shotsEnv); dir != "" {
		shot, err := chromedp.Run(limited, chromedp.FullScreenshot(100))
		if err := errors.Join(err, os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, name+"-"+v.name+".png"), shot, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(asked) != 1 || asked[0] != url {
		t.Errorf("asked for %v", asked)
	}
	if len(told) > 0 {
		t.Errorf("the console says %v", told)
	}
	if found.ScrollWidth > found.Width {
		t.Errorf("it is %d wide, the window %d", found.ScrollWidth, found.Width)
	}
	for what, texts := range map[string][]string{"too small": found.Small, "too faint": found.Faint, "cut": found.Cut, "over another": found.Over} {
		if len(texts) > 0 {
			t.Errorf("%d of %d texts are %s: %s", len(texts), found.Texts, what, strings.Join(texts[:min(len(texts), 12)], "\n  "))
		}
	}
	if found.Texts < 3 || strings.HasPrefix(name, "full") && found.Drawings == 0 {
		t.Errorf("there is nothing: %+v", found)
	}
}
