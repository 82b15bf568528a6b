package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/alexedwards/argon2id"

	"portway/internal/catalog"
	"portway/internal/datafile"
	"portway/internal/ident"
	"portway/internal/partner"
	"portway/internal/secret"
)

// credentialsFile is what --demo and --spec hand to people and scripts: the only place secrets are written out,
// with mode 0600, in the data folder.
type credentialsFile struct {
	Applications []clientCredential `json:"applications"`
	Accounts     []signIn           `json:"accounts"`
}

type clientCredential struct {
	Organisation string            `json:"organisation"`
	Application  string            `json:"application"`
	Environment  ident.Environment `json:"environment"`
	Kind         string            `json:"kind"`
	ClientID     string            `json:"client_id"`
	Secret       string            `json:"client_secret"` // of kind api_key the key, "" where the partner alone has one
}

type signIn struct {
	Organisation string `json:"organisation"`
	Name         string `json:"name"`
	Role         string `json:"role"`
	Email        string `json:"email"`
	Password     string `json:"password"`
}

// readPartners decodes policies/partners; an absent folder holds none.
func readPartners(files fs.FS) ([]*partner.Bundle, datafile.Problems) {
	entries, err := fs.ReadDir(files, "partners")
	if err != nil {
		return nil, nil
	}
	var out []*partner.Bundle
	var problems datafile.Problems
	for _, e := range entries {
		slug, ok := strings.CutSuffix(e.Name(), ".yaml")
		if !ok || e.IsDir() {
			continue
		}
		name := path.Join("partners", e.Name())
		src, err := fs.ReadFile(files, name)
		if err != nil {
			problems = append(problems, datafile.Problem{File: "policies/" + name, Message: err.Error()})
			continue
		}
		b, p := partner.Decode(slug, "policies/"+name, src)
		problems = append(problems, p...)
		if b != nil {
			out = append(out, b)
		}
	}
	return out, problems
}

// resolveSecrets hashes the secrets and API keys that a partner file refers to. A credential without a reference keeps
// what the store has.
func resolveSecrets(b *partner.Bundle, getenv func(string) string) error {
	for i := range b.Credentials {
		c := &b.Credentials[i]
		ref := b.SecretReferences[c.ClientID]
		if ref == "" {
			continue
		}
		s, err := secret.Resolve(ref, getenv)
		if err != nil {
			return fmt.Errorf("policies/partners/%s.yaml: secret of %s: %w", b.Organisation.Slug, c.ClientID, err)
		}
		given := s.Reveal()
		if err := checkSecret(c, given); err != nil {
			return fmt.Errorf("policies/partners/%s.yaml: secret of %s: %w", b.Organisation.Slug, c.ClientID, err)
		}
		c.SecretHash, c.LastFour = secret.Hash(given), given[len(given)-4:]
	}
	return nil
}

// checkPartners compares partner files with the catalogue, and with each other: APIs, plans, mappings and vendors they
// name must exist.
func checkPartners(bundles []*partner.Bundle, snap *catalog.Snapshot) datafile.Problems {
	problems := checkCallers(bundles)
	for _, b := range bundles {
		file := "policies/partners/" + b.Organisation.Slug + ".yaml"
		for _, s := range b.Subscriptions {
			if _, ok := snap.API(s.API); !ok {
				problems = append(problems, datafile.Problem{File: file, Message: fmt.Sprintf("a subscription names the API %q, which does not exist", s.API)})
			}
			if snap.Plans[s.Plan] == nil {
				problems = append(problems, datafile.Problem{File: file, Message: fmt.Sprintf("a subscription names the plan %q, which does not exist", s.Plan)})
			}
		}
		for _, c := range b.Connections {
			documents := map[string]string{}
			if err := json.Unmarshal([]byte(c.Documents), &documents); err != nil {
				problems = append(problems, datafile.Problem{File: file, Message: fmt.Sprintf("connection %q: documents cannot be read", c.Slug)})
			}
			for set, id := range documents {
				if snap.Mappings[id] == nil {
					problems = append(problems, datafile.Problem{File: file, Message: fmt.Sprintf("connection %q: set %s names the mapping %q, which does not exist", c.Slug, set, id)})
				}
			}
		}
	}
	return problems
}

// argon are the parameters of portal passwords (ASVS 5.0 appendix C: t=2, m=19 MiB, p=1).
var argon = argon2id.Params{Memory: 19 << 10, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// seedDemo gives every declared credential and account of the example partners a secret, once: later starts
// find the same ones in the file.
func seedDemo(bundles []*partner.Bundle, file string) (*credentialsFile, error) {
	kept := &credentialsFile{}
	if b, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(b, kept); err != nil {
			return nil, fmt.Errorf("%s: %w; remove it to get new demo secrets", file, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	next := &credentialsFile{}
	for _, b := range bundles {
		for i := range b.Credentials {
			c := &b.Credentials[i]
			given := demoSecret(c, kept)
			next.Applications = append(next.Applications, clientCredential{Organisation: b.Organisation.Slug, Application: c.Application,
				Environment: c.Environment, Kind: c.Kind, ClientID: c.ClientID, Secret: given})
		}
		for i := range b.Accounts {
			a := &b.Accounts[i]
			given := kept.passwordOf(a.Email)
			if given == "" {
				given = ident.Secret(8)
			}
			hash, err := argon2id.CreateHash(given, &argon)
			if err != nil {
				return nil, err
			}
			a.PasswordHash = hash
			next.Accounts = append(next.Accounts, signIn{Organisation: b.Organisation.Name, Name: a.Name, Role: a.Role,
				Email: a.Email, Password: given})
		}
	}
	return next, next.write(file)
}

func (f *credentialsFile) secretOf(clientID string) string {
	for _, a := range f.Applications {
		if a.ClientID == clientID {
			return a.Secret
		}
	}
	return ""
}

func (f *credentialsFile) passwordOf(email string) string {
	for _, a := range f.Accounts {
		if a.Email == email {
			return a.Password
		}
	}
	return ""
}

// write replaces the file in one step, readable by its owner only.
func (f *credentialsFile) write(file string) error {
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(file, append(b, '\n'))
}

// writeFile replaces a file in one step with mode 0600.
func writeFile(file string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(b)
	err = errors.Join(err, tmp.Chmod(0o600), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// ownClient makes the generated client of "serve --spec", or returns "" as secret when there is one already.
func ownClient(ctx context.Context, store partner.Store, api string, again bool) (clientID, given string, err error) {
	b := &partner.Bundle{Organisation: partner.Organisation{Slug: "local", Name: "Local", Kind: partner.KindInternal,
		Zone: "UTC", State: partner.Active, Origin: partner.FromFile}}
	orgs, err := store.Organisations(ctx)
	if err != nil {
		return "", "", err
	}
	for _, o := range orgs {
		if o.Slug != "local" {
			continue
		}
		have, err := store.Organisation(ctx, o.ID)
		if err != nil {
			return "", "", err
		}
		for _, c := range have.Credentials {
			if c.State == partner.Active && !again {
				clientID = c.ClientID
			}
		}
	}
	if clientID == "" {
		clientID, given = "client-"+ident.Secret(4), ident.Secret(32)
		b.Credentials = []partner.Credential{{Application: "client", Environment: ident.Live, Kind: "client_secret", ClientID: clientID,
			SecretHash: secret.Hash(given), LastFour: given[len(given)-4:], State: partner.Active, Origin: partner.FromFile}}
	}
	b.Applications = []partner.Application{{Slug: "client", Name: "Generated client", State: partner.Active, Origin: partner.FromFile}}
	b.Subscriptions = []partner.Subscription{{Application: "client", API: api, Environment: ident.Live, Plan: "standard",
		State: partner.Active, Origin: partner.FromFile}}
	return clientID, given, store.Apply(ctx, b)
}
