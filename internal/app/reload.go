package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"portway/internal/app/observe"
	"portway/internal/catalog"
	"portway/internal/catalog/golden"
	"portway/internal/datafile"
	"portway/internal/partner"
	"portway/internal/problem"
)

// readTries is how often files are read that change while they are read.
const readTries = 3

var errMoving = errors.New("files change while they are read; they are read again when they rest")

// reload is the state of reading the installation's files again.
type reload struct {
	mu      sync.Mutex                   // one at a time
	applied map[string][sha256.Size]byte // partner files as they were last applied, by slug

	state sync.Mutex
	last  observe.Reload
}

// watched are the files a reload reads; none when everything is built in.
func (p *program) watched() []string {
	switch s := p.settings; {
	case s.Spec != "":
		return []string{s.Spec}
	case s.Config != "":
		return []string{filepath.Join(s.Config, "specs"), filepath.Join(s.Config, "policies")}
	}
	return nil
}

// watchFiles reloads when files change and, whether they changed or not, on SIGHUP, which also opens log files anew.
func (p *program) watchFiles(ctx context.Context) {
	var polls sync.WaitGroup
	defer polls.Wait()
	if p.settings.WatchEvery > 0 {
		if len(p.watched()) > 0 {
			polls.Go(func() { p.files.Run(ctx, p.settings.WatchEvery, func() { p.reloadFiles(ctx, false) }) })
		}
		for listener, c := range p.certificates {
			if c != nil {
				polls.Go(func() { p.watchTLS(ctx, listener) })
			}
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.hup:
			p.hangup(ctx)
		}
	}
}

func (p *program) hangup(ctx context.Context) {
	if p.accessLog != nil {
		if err := p.accessLog.Reopen(); err != nil {
			p.log.Error("access-log: not opened anew; the old file stays", "error", err.Error())
		}
	}
	for listener, c := range p.certificates {
		if c != nil {
			p.reloadTLS(listener)
		}
	}
	if len(p.watched()) > 0 {
		p.reloadFiles(ctx, true)
	}
}

// reloadFiles builds everything beside what is in force, and puts it in force whole, or leaves all as it is and says
// why. Whoever works with the old snapshot ends with it. Forced, it also does so when no file has changed: addresses and
// secrets that files only refer to may have.
func (p *program) reloadFiles(ctx context.Context, forced bool) {
	p.reload.mu.Lock()
	defer p.reload.mu.Unlock()
	result, err := p.tryReload(ctx, forced)
	p.reload.note(p.clock.Now(), result, err)
	p.metrics.Reload("catalogue", result)
	switch {
	case err == nil:
		p.log.Info("configuration read again", "result", result, "catalogue", p.catalogue.Current().Digest[:12])
	case ctx.Err() != nil: // stopping
	default:
		for line := range strings.SplitSeq(err.Error(), "\n") {
			p.log.Error("configuration not applied; the old one stays", "problem", line)
		}
	}
}

func (r *reload) note(at time.Time, result string, err error) {
	r.state.Lock()
	defer r.state.Unlock()
	r.last = observe.Reload{At: at.UTC(), Result: result}
	if err != nil {
		r.last.Problems = strings.Split(err.Error(), "\n")
	}
}

func (r *reload) result() observe.Reload {
	r.state.Lock()
	defer r.state.Unlock()
	return r.last
}

// tryReload returns "applied" or "unchanged", or "refused" with every problem. It begins anew when files changed while
// they were read.
func (p *program) tryReload(ctx context.Context, forced bool) (result string, err error) {
	for range readTries {
		if result, err = p.readOnce(ctx, forced); !errors.Is(err, errMoving) {
			break
		}
	}
	return result, err
}

func (p *program) readOnce(ctx context.Context, forced bool) (string, error) {
	before := datafile.Digest(p.watched()...)
	next, err := p.loadCatalogue()
	if err != nil {
		return "refused", err
	}
	if next.Digest != p.catalogue.Current().Digest {
		if err := golden.Check(next, p.sources()).Err(); err != nil {
			return "refused", err
		}
	}
	changed, err := p.changedPartners(next)
	if err != nil {
		return "refused", err
	}
	if datafile.Digest(p.watched()...) != before {
		return "refused", errMoving
	}
	if err := p.applyPartners(ctx, changed); err != nil {
		return "refused", err
	}
	if forced || next.Digest != p.catalogue.Current().Digest {
		p.catalogue.Swap(next)
		return "applied", nil
	}
	if len(changed) > 0 {
		return "applied", nil
	}
	return "unchanged", nil
}

// applyPartners stores partner files that have changed, all of them or none, and makes them known. Files whose
// organisation gives others access come after those of the others.
func (p *program) applyPartners(ctx context.Context, changed []changedPartner) error {
	if len(changed) == 0 {
		return nil
	}
	bundles := make([]*partner.Bundle, len(changed))
	for i, c := range changed {
		bundles[i] = c.bundle
	}
	sort.SliceStable(bundles, func(i, j int) bool { return len(bundles[i].VendorGrants) == 0 && len(bundles[j].VendorGrants) > 0 })
	if err := p.partners.ApplyAll(ctx, bundles...); err != nil {
		return partnerProblems(err)
	}
	if p.reload.applied == nil {
		p.reload.applied = map[string][sha256.Size]byte{}
	}
	for _, c := range changed {
		p.reload.applied[c.bundle.Organisation.Slug] = c.sum
	}
	return nil
}

// partnerProblems is a line for every place that cannot be stored.
func partnerProblems(err error) error {
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	var lines []error
	for _, err := range all {
		var refused *problem.Error
		if !errors.As(err, &refused) || len(refused.Violations) == 0 {
			lines = append(lines, fmt.Errorf("policies/partners: %w", err))
			continue
		}
		for _, v := range refused.Violations {
			lines = append(lines, fmt.Errorf("policies/partners: %s: %s: %s", refused.Detail, v.Pointer, v.Message))
		}
	}
	return errors.Join(lines...)
}

// changedPartner is a partner file that is not the one last applied.
type changedPartner struct {
	bundle *partner.Bundle
	sum    [sha256.Size]byte
}

// changedPartners reads all partner files, checks all of them against the catalogue, and returns those to apply. A
// file that is gone takes nothing away: access ends by its state, in the file or in the portal.
func (p *program) changedPartners(next *catalog.Snapshot) ([]changedPartner, error) {
	files := p.partnerFiles()
	if files == nil {
		return nil, nil
	}
	bundles, problems := readPartners(files)
	problems = append(problems, checkPartners(bundles, next)...)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	var out []changedPartner
	for _, b := range bundles {
		sum, err := partnerSum(files, b)
		if err != nil {
			return nil, err
		}
		if p.reload.applied[b.Organisation.Slug] == sum {
			continue
		}
		if err := resolveSecrets(b, p.getenv); err != nil {
			return nil, err
		}
		out = append(out, changedPartner{b, sum})
	}
	if p.settings.Demo && len(out) > 0 {
		credentials, err := seedDemo(bundles, p.credentialsPath)
		if err != nil {
			return nil, err
		}
		if p.credentials == nil { // what the banner shows is from the start
			p.credentials = credentials
		}
	}
	return out, nil
}

func partnerSum(files fs.FS, b *partner.Bundle) ([sha256.Size]byte, error) {
	src, err := fs.ReadFile(files, path.Join("partners", b.Organisation.Slug+".yaml"))
	return sha256.Sum256(src), err
}
