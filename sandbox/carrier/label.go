package carrier

import (
	"fmt"
	"strings"
)

// page is what one label shows: one parcel.
type page struct {
	Carrier   string
	Service   string
	Tracking  string
	Reference string
	From      []string
	To        []string
	// Note is a line such as "1 of 2, 3.5 kg".
	Note string
}

// The label is 4 by 6 inches: in PDF units (1/72 inch) and in dots at 203 dpi.
const (
	labelWidth, labelHeight = 288, 432
	zplWidth, zplHeight     = 812, 1218
)

// renderZPL writes the pages as ZPL II, one format per page, with field text escaped by ^FH.
func renderZPL(pages []page) []byte {
	var b strings.Builder
	for _, p := range pages {
		fmt.Fprintf(&b, "^XA\n^CI28\n^PW%d\n^LL%d\n", zplWidth, zplHeight)
		y := 40
		line := func(size int, text string) {
			fmt.Fprintf(&b, "^FO40,%d^A0N,%d,%d^FH^FD%s^FS\n", y, size, size, zplText(text))
			y += size + 14
		}
		line(48, strings.ToUpper(p.Carrier)+"  "+p.Service)
		for _, l := range append([]string{"FROM"}, p.From...) {
			line(26, l)
		}
		y += 20
		for _, l := range append([]string{"SHIP TO"}, p.To...) {
			line(38, l)
		}
		y += 20
		line(28, "REF "+p.Reference)
		line(28, p.Note)
		fmt.Fprintf(&b, "^FO40,%d^BY3^BCN,220,Y,N,N^FD%s^FS\n", zplHeight-320, p.Tracking)
		b.WriteString("^XZ\n")
	}
	return []byte(b.String())
}

// zplText escapes what ZPL would read as a command or as an escape, and drops control characters.
func zplText(s string) string {
	var b strings.Builder
	for _, c := range s {
		switch {
		case c == '^' || c == '~' || c == '_' || c == '\\':
			fmt.Fprintf(&b, "_%02X", c)
		case c < ' ' || c == 0x7f:
			b.WriteByte(' ')
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

// renderPDF writes the pages as PDF 1.4 with the standard fonts, uncompressed and without a date, so that the
// same label is the same bytes.
func renderPDF(pages []page) []byte {
	var out strings.Builder
	out.WriteString("%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
	var offsets []int
	object := func(body string) {
		offsets = append(offsets, out.Len())
		fmt.Fprintf(&out, "%d 0 obj\n%s\nendobj\n", len(offsets), body)
	}
	const firstPage = 5
	kids := make([]string, len(pages))
	for i := range pages {
		kids[i] = fmt.Sprintf("%d 0 R", firstPage+2*i)
	}
	object("<< /Type /Catalog /Pages 2 0 R >>")
	object(fmt.Sprintf("<< /Type /Pages /Kids [%s] /Count %d >>", strings.Join(kids, " "), len(pages)))
	object("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
	object("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>")
	for i, p := range pages {
		object(fmt.Sprintf("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Resources << /Font << /F1 3 0 R /F2 4 0 R >> >> /Contents %d 0 R >>",
			labelWidth, labelHeight, firstPage+2*i+1))
		content := pdfContent(p)
		object(fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", len(content), content))
	}
	xref := out.Len()
	fmt.Fprintf(&out, "xref\n0 %d\n0000000000 65535 f \n", len(offsets)+1)
	for _, o := range offsets {
		fmt.Fprintf(&out, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&out, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(offsets)+1, xref)
	return []byte(out.String())
}

func pdfContent(p page) string {
	var b strings.Builder
	y := labelHeight - 34
	line := func(font string, size int, text string) {
		fmt.Fprintf(&b, "BT /%s %d Tf 18 %d Td (%s) Tj ET\n", font, size, y, pdfText(text, 460/size))
		y -= size + 4
	}
	rule := func() {
		fmt.Fprintf(&b, "18 %d %d 1 re f\n", y+4, labelWidth-36)
		y -= 12
	}
	line("F2", 18, strings.ToUpper(p.Carrier)+"  "+p.Service)
	rule()
	for _, l := range p.From {
		line("F1", 8, l)
	}
	rule()
	for _, l := range p.To {
		line("F2", 13, l)
	}
	rule()
	line("F1", 9, "Ref "+p.Reference)
	line("F1", 9, p.Note)
	bars := code128(p.Tracking)
	modules := 0
	for _, n := range bars {
		modules += n
	}
	// The quiet zone of Code 128 is ten modules at each side.
	module := float64(labelWidth-36) / float64(modules+20)
	x := 18 + 10*module
	for i, n := range bars {
		if i%2 == 0 {
			fmt.Fprintf(&b, "%.3f 40 %.3f 80 re f\n", x, float64(n)*module)
		}
		x += float64(n) * module
	}
	fmt.Fprintf(&b, "BT /F2 12 Tf 60 22 Td (%s) Tj ET", pdfText(p.Tracking, 40))
	return b.String()
}

// pdfText writes s as the inside of a PDF string in WinAnsi encoding, at most most characters; what that encoding
// does not have in its Latin-1 part becomes a question mark.
func pdfText(s string, most int) string {
	var b strings.Builder
	n := 0
	for _, c := range s {
		if n++; n > most {
			break
		}
		switch {
		case c == '(' || c == ')' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(byte(c))
		case c >= ' ' && c < 0x7f:
			b.WriteByte(byte(c))
		case c >= 0xa0 && c <= 0xff:
			fmt.Fprintf(&b, "\\%03o", c)
		default:
			b.WriteByte('?')
		}
	}
	return b.String()
}
