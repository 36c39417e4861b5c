package config_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/config"
)

func TestCompareNamesWhatDiffers(t *testing.T) {
	t.Parallel()
	was := load(t, nil, nil)
	require.True(t, config.Compare(was, load(t, nil, nil)).None())
	for name, tc := range map[string]struct {
		over map[string]string
		edit func(*config.Config)
		want config.Changes
	}{
		"a key that is taken into use": {
			over: map[string]string{"POLYVAULT_READS_STALE_IF_ERROR": "7h", "POLYVAULT_LOG_LEVEL": "error"},
			want: config.Changes{Keys: []string{"reads.stale_if_error", "log.level"}},
		},
		"keys that need another start": {
			over: map[string]string{"POLYVAULT_LISTEN": "127.0.0.1:1", "POLYVAULT_LOG_FORMAT": "json", "POLYVAULT_STORE_REDIS_KEY_PREFIX": "x:"},
			want: config.Changes{
				Keys: []string{"listen", "store.redis.key_prefix", "log.format"}, Restart: []string{"listen", "store.redis.key_prefix", "log.format"},
			},
		},
		"a provider's secret": {
			over: map[string]string{"REBILLY_KEY": "sk_sandbox_another"},
			want: config.Changes{Keys: []string{"providers"}, ProvidersChanged: []string{"rebilly-main"}},
		},
		"the store's secret": {
			over: map[string]string{"POLYVAULT_STORE_REDIS_PASSWORD": "another"},
			want: config.Changes{Keys: []string{"store.redis.password"}, Restart: []string{"store.redis.password"}},
		},
		"the reference key of a journal": {
			over: map[string]string{"POLYVAULT_STORE_JOURNAL_PATH": "/j"},
			edit: func(c *config.Config) {
				k := c.Keys.Reference
				c.Keys.Reference = config.ReferenceKeys{k[1], k[0]}
			},
			want: config.Changes{Keys: []string{"store.journal", "keys.reference"}, Restart: []string{"store.journal", "keys.reference"}},
		},
		"lists": {
			edit: func(c *config.Config) {
				c.Providers = append(c.Providers[1:], config.Provider{Name: "new"})
				c.Routes[0].Providers = nil
				c.Tenants = c.Tenants[1:]
			},
			want: config.Changes{
				Keys:           []string{"tenants", "providers", "routes"},
				ProvidersAdded: []string{"new"}, ProvidersRemoved: []string{was.Providers[0].Name},
				Routes: []string{was.Routes[0].Name}, Tenants: []string{was.Tenants[0].Name},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := load(t, tc.over, nil)
			if tc.edit != nil {
				tc.edit(is)
			}
			require.Equal(t, tc.want, config.Compare(was, is))
		})
	}
}

func TestLoadTellsWhichFilesItReads(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := folder + "/polyvault.yaml"
	require.NoError(t, os.WriteFile(file, []byte("keys: {reference: file:secret}\n"), 0o600))
	var files []string
	_, err := config.Load(file, config.Options{Opened: func(name string) { files = append(files, name) }})
	require.ErrorContains(t, err, "no such file")
	require.Equal(t, []string{file, folder + "/secret"}, files)
}
