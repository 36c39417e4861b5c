package gateway

import (
	"context"
	"slices"
	"strings"
)

// onePlaceEach sees to it that a restored instrument shares its place at a provider
// with no other record. After a loss the gateway may have found the instrument there,
// as if it were new, and given it another id; or have stored it again under another
// key, at a provider that then answers with what it has. Both ids were told to
// somebody: one becomes the alias of the other. owners are those of next's claims.
func onePlaceEach(ctx context.Context, store Store, sealer *Sealer, next stored, owners []string) error {
	if !next.live() {
		return nil
	}
	for i, claim := range next.Claims {
		if owners[i] == next.ID || !isPlaceClaim(claim) {
			continue
		}
		if err := sharePlace(ctx, store, sealer, next.ID, owners[i], claim); err != nil {
			return err
		}
	}
	return nil
}

func isPlaceClaim(claim string) bool { return strings.HasPrefix(claim, "ref/") }

// sharePlace settles who of two records has a place. It starts again when another
// request changes the one that gives it up.
func sharePlace(ctx context.Context, store Store, sealer *Sealer, id, otherID, claim string) error {
	for range maxRestoreTries {
		loaded, err := store.Load(ctx, recordKey(id), recordKey(otherID))
		if err != nil {
			return err
		}
		var both [2]stored
		for i, e := range loaded.Entries {
			if e.Version == 0 {
				return nil // who only claims it has no use for it: the next one takes it
			}
			if both[i].Record, err = sealer.decode([2]string{id, otherID}[i], e.Value); err != nil {
				return err
			}
			both[i].version = e.Version
		}
		keeper, yielder := both[0], both[1]
		if keepsPlace(yielder.Record, keeper.Record) {
			keeper, yielder = yielder, keeper
		}
		same := keeper.Tenant == yielder.Tenant && keeper.CustomerID == yielder.CustomerID
		if !same || !keeper.live() || !yielder.live() || !slices.Contains(yielder.Claims, claim) || !slices.Contains(keeper.Claims, claim) {
			return nil
		}
		alias, err := yielder.alias(keeper.Record, loaded.Now.UTC())
		if err != nil {
			return err
		}
		w := recordWrite(sealer, yielder, stored{alias, yielder.version + 1})
		for _, c := range yielder.Claims { // what it lets go of, the place first of all
			if slices.Contains(keeper.Claims, c) {
				w.Claims = append(w.Claims, Claim{Key: c, Owner: keeper.ID})
			}
		}
		res, err := store.Write(ctx, w)
		if err != nil || res.Applied {
			return err
		}
	}
	return errBusyEntry
}

// keepsPlace reports whether a keeps a place that b has as well: what a create made
// before what was found, then the older one.
func keepsPlace(a, b Record) bool {
	if made := a.Answer != nil; made != (b.Answer != nil) {
		return made
	}
	if !a.CreatedAt.Equal(b.CreatedAt) {
		return a.CreatedAt.Before(b.CreatedAt)
	}
	return a.ID < b.ID
}
