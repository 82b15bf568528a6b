// Command portway is the gateway between a company's own systems and the companies that move its goods.
package main

import (
	"os"

	"portway/internal/app"
)

func main() {
	os.Exit(app.Main(os.Args[1:], os.Stdout, os.Stderr))
}
