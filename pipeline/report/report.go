package report

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"strings"

	"lull/pipeline/snapshot"
)

//go:embed report.css report.html
var files embed.FS

// The widths of drawings: that of a page on a desktop, and that of a phone.
const (
	wideWidth   = 880.0
	narrowWidth = 340.0
)

// Page is the name of the file that Snapshot writes beside those of the figures.
const Page = "report.html"

// Snapshot writes a report of a snapshot into a folder, which is made if it is not there: one page that needs nothing else, and each figure as SVG. It returns the names of the files. The same snapshot gives the same bytes.
// Memory is bounded, whatever the number of customers. No file is left half written.
func Snapshot(ctx context.Context, tables *snapshot.Tables, folder string) (names []string, err error) {
	t, err := read(ctx, tables)
	if err != nil {
		return nil, err
	}
	figures, err := t.figures()
	if err != nil {
		return nil, err
	}
	page, err := t.page(figures)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return nil, fmt.Errorf("making the folder of the report: %w: name another by --out", err)
	}
	write := func(name string, content []byte) {
		if err == nil {
			err = writeWhole(filepath.Join(folder, name), content)
			names = append(names, name)
		}
	}
	for i := range figures {
		write(figures[i].ID+".svg", figures[i].file())
	}
	write(Page, page)
	return names, err
}

// writeWhole writes a file beside its place, which it then takes.
func writeWhole(name string, content []byte) error {
	file, err := os.CreateTemp(filepath.Dir(name), ".report-")
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Chmod(0o644), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

// draw draws the panels one below the other, or side by side at the full width if they are to be.
func (f *figure) draw(s *svg, left, top, width float64) (height float64) {
	const gap = 18.0
	if f.beside && width >= wideWidth {
		side := (width - gap*float64(len(f.panels)-1)) / float64(len(f.panels))
		for i, p := range f.panels {
			height = max(height, p.draw(s, left+float64(i)*(side+gap), top, side))
		}
		return height
	}
	for i, p := range f.panels {
		if i > 0 {
			height += gap
		}
		height += p.draw(s, left, top+height, width)
	}
	return height
}

// inline returns the drawing as an element of the page.
func (f *figure) inline(class string, width float64) template.HTML {
	var s svg
	height := f.draw(&s, 0, 0, width)
	id := f.ID + "-" + class
	return template.HTML(fmt.Sprintf(`<svg class="%s" viewBox="0 0 %s %s" width="%s" height="%s" role="img" aria-labelledby="%s"><title id="%s">%s</title>%s</svg>`,
		class, px(width), px(height), px(width), px(height), id, id, escape(f.Title), s.String()))
}

// file returns the drawing as a file of its own: with its title, and all that its numbers need to be understood.
func (f *figure) file() []byte {
	const margin = 20.0
	var s svg
	y := margin
	s.text(margin, y+16, start, "title", f.Title)
	y += 28
	paragraph := func(class, text string) {
		for _, line := range wrap(text, wideWidth) {
			s.text(margin, y+lineSize-4, start, class, line)
			y += lineSize
		}
		y += 4
	}
	paragraph("k", f.Says)
	paragraph("m", f.Terms)
	y += 8
	if f.Empty != "" {
		paragraph("b", "Nothing to show. "+f.Empty)
	}
	y += f.draw(&s, margin, y, wideWidth) + 8
	for _, note := range f.Notes {
		paragraph("m", note)
	}
	width, height := wideWidth+2*margin, y+margin
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" width="%s" height="%s" role="img" aria-labelledby="%s"><title id="%s">%s</title><style>%s</style><rect width="100%%" height="100%%" class="paper"/>%s</svg>`+"\n",
		px(width), px(height), px(width), px(height), f.ID, f.ID, escape(f.Title), style(), s.String())
	return b.Bytes()
}

// style returns what the classes look like.
func style() string {
	css, _ := files.ReadFile("report.css") // it is in the binary
	return string(css)
}

// headline is a number of the head of the page.
type headline struct{ Value, What string }

// shown is a figure as the page shows it.
type shown struct {
	*figure
	Wide, Narrow template.HTML
}

// page returns the page of the figures.
func (t *tally) page(figures []figure) ([]byte, error) {
	terms, m := &t.manifest.Terms, t.manifest
	content := struct {
		Application, Instant, Model, Snapshot, Version, Terms string
		Style                                                 template.CSS
		Headlines                                             []headline
		Figures                                               []shown
	}{
		Application: strings.TrimSuffix(m.Application, "."), Instant: instant(t.asOf), Model: t.modelName(), Snapshot: m.Snapshot, Version: m.WrittenBy, Style: template.CSS(style()),
		Terms: t.valueTerms(),
	}
	if t.tables.Table("customers") != nil {
		content.Headlines = []headline{
			{count(t.customers), "customers known"},
			{count(t.all.customers), "who have bought"},
			{t.money(t.all.net), "what their orders have brought, refunds taken off"},
		}
		if t.scored > 0 {
			content.Headlines = append(content.Headlines,
				headline{t.money(t.all.clv), fmt.Sprintf("CLV: margin expected within %s days", plain(terms.HorizonDays))},
				headline{t.money(t.all.aboutToBeLost), fmt.Sprintf("about to be lost: CLV that %s days of silence of everybody would cost", plain(terms.ContactDays))},
				headline{t.money(t.all.atRisk), "value at risk: what CLV has written off already, and no part of it"})
		}
	}
	for i := range figures {
		f := shown{figure: &figures[i]}
		if f.Empty == "" {
			f.Wide, f.Narrow = f.inline("wide", wideWidth), f.inline("narrow", narrowWidth)
		}
		content.Figures = append(content.Figures, f)
	}
	page, err := template.New("report.html").Funcs(template.FuncMap{"isNumber": isNumber}).ParseFS(files, "report.html")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = page.Execute(&b, &content)
	return b.Bytes(), err
}

// isNumber reports whether a table's text is to stand at the right.
func isNumber(text string) bool {
	return text != "" && strings.Trim(text, "0123456789,.%+- ") == ""
}
