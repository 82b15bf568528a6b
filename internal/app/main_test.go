package app

import (
	"os"
	"testing"

	"portway/internal/store/pgtest"
)

func TestMain(m *testing.M) {
	code := pgtest.Run(m)
	if builtIn != "" && os.RemoveAll(builtIn) != nil {
		code = 1
	}
	os.Exit(code)
}
