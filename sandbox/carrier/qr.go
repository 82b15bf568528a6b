package carrier

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
)

// A QR code of version 3 and error correction level L (ISO/IEC 18004): 29 modules square, 55 data and 15
// correction codewords in one block, room for 53 bytes.
const (
	qrSize       = 29
	qrData       = 55
	qrCorrection = 15
	qrMaxBytes   = 53
	// qrFormat is the format information of level L with mask 0 (table C.1).
	qrFormat = 0b111011111000100
)

// qrCode returns the modules of text (true is dark) in byte mode; text beyond 53 bytes is cut off.
func qrCode(text string) [][]bool {
	if len(text) > qrMaxBytes {
		text = text[:qrMaxBytes]
	}
	modules, fixed := qrFrame()
	bits := qrBits(text)
	next := 0
	// Section 7.7.3: two modules wide columns from the right, upwards and downwards in turn, without column 6.
	for right, up := qrSize-1, true; right > 0; right, up = right-2, !up {
		if right == 6 {
			right--
		}
		for k := range qrSize {
			row := k
			if up {
				row = qrSize - 1 - k
			}
			for _, col := range []int{right, right - 1} {
				if fixed[row][col] {
					continue
				}
				dark := next < len(bits) && bits[next]
				next++
				// Mask 0 inverts where row + column is even.
				modules[row][col] = dark != ((row+col)%2 == 0)
			}
		}
	}
	return modules
}

// qrFrame returns the modules that do not depend on the text, and which ones those are.
func qrFrame() (modules, fixed [][]bool) {
	modules, fixed = make([][]bool, qrSize), make([][]bool, qrSize)
	for i := range modules {
		modules[i], fixed[i] = make([]bool, qrSize), make([]bool, qrSize)
	}
	set := func(row, col int, dark bool) {
		if row >= 0 && row < qrSize && col >= 0 && col < qrSize {
			modules[row][col], fixed[row][col] = dark, true
		}
	}
	ring := func(row, col, reach int, light ...int) {
		for dr := -reach; dr <= reach; dr++ {
			for dc := -reach; dc <= reach; dc++ {
				dark := true
				for _, l := range light {
					dark = dark && max(dr, -dr, dc, -dc) != l
				}
				set(row+dr, col+dc, dark)
			}
		}
	}
	for i := range qrSize {
		set(6, i, i%2 == 0)
		set(i, 6, i%2 == 0)
	}
	// Finder patterns with their separators, and the alignment pattern of version 3.
	ring(3, 3, 4, 2, 4)
	ring(3, qrSize-4, 4, 2, 4)
	ring(qrSize-4, 3, 4, 2, 4)
	ring(22, 22, 2, 1)
	for i := range 15 {
		dark := qrFormat>>i&1 == 1
		// Around the upper left finder, skipping the timing lines.
		switch {
		case i < 6:
			set(i, 8, dark)
		case i < 8:
			set(i+1, 8, dark)
		case i == 8:
			set(8, 7, dark)
		default:
			set(8, 14-i, dark)
		}
		// The second copy along the other two finders.
		if i < 8 {
			set(8, qrSize-1-i, dark)
		} else {
			set(qrSize-15+i, 8, dark)
		}
	}
	set(qrSize-8, 8, true)
	return modules, fixed
}

// qrBits returns the data and correction codewords as bits.
func qrBits(text string) []bool {
	// Byte mode 0100, an 8-bit count, the bytes, a 4-bit terminator: the text ends on a byte after a nibble shift.
	data := make([]byte, 0, qrData+qrCorrection)
	data = append(data, 0x40|byte(len(text)>>4))
	carry := byte(len(text)) << 4
	for i := range len(text) {
		data = append(data, carry|text[i]>>4)
		carry = text[i] << 4
	}
	data = append(data, carry)
	for pad := byte(0xec); len(data) < qrData; pad ^= 0xec ^ 0x11 {
		data = append(data, pad)
	}
	data = append(data, reedSolomon(data, qrCorrection)...)
	bits := make([]bool, 0, len(data)*8)
	for _, b := range data {
		for i := 7; i >= 0; i-- {
			bits = append(bits, b>>i&1 == 1)
		}
	}
	return bits
}

// reedSolomon returns n correction codewords of data over GF(256) with the polynomial 0x11d.
func reedSolomon(data []byte, n int) []byte {
	divisor := make([]byte, n)
	divisor[n-1] = 1
	root := byte(1)
	for range n {
		for j := range n {
			divisor[j] = gfMul(divisor[j], root)
			if j+1 < n {
				divisor[j] ^= divisor[j+1]
			}
		}
		root = gfMul(root, 2)
	}
	rest := make([]byte, n)
	for _, b := range data {
		factor := b ^ rest[0]
		copy(rest, rest[1:])
		rest[n-1] = 0
		for j := range n {
			rest[j] ^= gfMul(divisor[j], factor)
		}
	}
	return rest
}

func gfMul(x, y byte) byte {
	z := 0
	for i := 7; i >= 0; i-- {
		z = z<<1 ^ (z>>7)*0x11d
		z ^= int(y>>i&1) * int(x)
	}
	return byte(z)
}

// qrPNG draws the QR code of text as a grey-scale PNG with the quiet zone of four modules, eight pixels a module.
func qrPNG(text string) []byte {
	const scale, quiet = 8, 4
	modules := qrCode(text)
	side := (qrSize + 2*quiet) * scale
	img := image.NewGray(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			row, col := y/scale-quiet, x/scale-quiet
			inside := row >= 0 && row < qrSize && col >= 0 && col < qrSize
			if !inside || !modules[row][col] {
				img.SetGray(x, y, color.Gray{Y: 255})
			}
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		panic("carrier: png: " + err.Error())
	}
	return out.Bytes()
}
