package app

import (
	"os"
	"testing"

	"portway/internal/store/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }
