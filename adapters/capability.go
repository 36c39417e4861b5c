package adapters

// Capability names something a provider can do.
type Capability string

// The capabilities, one for each optional interface.
const (
	CanCreate         Capability = "create"
	CanCreateCustomer Capability = "create_customer"
	CanList           Capability = "list"
	CanUpdate         Capability = "update"
	CanSetDefault     Capability = "set_default"
	CanDeactivate     Capability = "deactivate"
	CanDelete         Capability = "delete"
	CanDeleteVault    Capability = "delete_vault"
	CanBulkDelete     Capability = "bulk_delete"
)

// Capabilities returns what a can do, read off its method set, in a fixed order.
func Capabilities(a Adapter) []Capability {
	var out []Capability
	for _, c := range []struct {
		name Capability
		has  bool
	}{
		{CanCreate, has[Creator](a)},
		{CanCreateCustomer, has[CustomerCreator](a)},
		{CanList, has[Lister](a)},
		{CanUpdate, has[Updater](a)},
		{CanSetDefault, has[DefaultSetter](a)},
		{CanDeactivate, has[Deactivator](a)},
		{CanDelete, has[Deleter](a)},
		{CanDeleteVault, has[VaultDeleter](a)},
		{CanBulkDelete, has[BulkDeleter](a)},
	} {
		if c.has {
			out = append(out, c.name)
		}
	}
	return out
}

func has[T any](a Adapter) bool {
	_, ok := a.(T)
	return ok
}
