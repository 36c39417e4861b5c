package adaptertest

import "strconv"

// Checks returns every promise, so that the suite itself can be tested with
// adapters that break one.
func Checks() []Check {
	out := []Check{
		{"opening an adapter makes no call", on(checkDeclaration)},
		{"create stores one instrument", on(checkCreate)},
		{"create can make the default", on(checkCreateDefault)},
		{"the same card again is the same instrument", on(checkDedupe)},
		{"an undeclared source is not sent", on(checkSources)},
		{"create customer", on(checkCreateCustomer)},
		{"list reaches every instrument once", on(checkList)},
		{"list refuses what it cannot do", on(checkListRefusals)},
		{"update changes what is named and nothing else", on(checkUpdate)},
		{"update of a missing instrument", on(checkUpdateMissing)},
		{"update of an older version", on(checkVersion)},
		{"the default moves", on(checkSetDefault)},
		{"get of a missing instrument", on(checkGetMissing)},
		{"deactivate is idempotent", on(checkDeactivate)},
		{"delete is idempotent", on(checkDelete)},
		{"delete of the default", on(checkDeleteDefault)},
		{"delete with the vault is idempotent", on(checkDeleteVault)},
		{"delete many answers in order", on(checkDeleteMany)},
		{"references are enough by themselves", on(checkReferences)},
		{"malformed references are not sent", on(checkEvilReferences)},
		{"malformed customer references are not sent", on(checkEvilCustomer)},
		{"charge makes no call", on(checkCharge)},
		{"a closed port is not sent", on(checkDialRefused)},
		{"a TLS failure is not sent", on(checkBadTLS)},
		{"an unknown host is not sent", on(checkNoName)},
		{"a finished context is not sent", on(checkContextDone)},
		{"a cancelled call returns", on(checkCancel)},
		{"redirects are not followed", on(checkRedirects)},
		{"wrong credentials", on(checkCredentials)},
		{"the provider's own rate limit", on(checkRateLimited)},
		{"a huge answer to a read", on(checkHugeRead)},
		{"unknown words and members are read", on(checkOdd)},
		{"a quoted request stays out of errors", on(checkEcho)},
		{"creates in parallel", on(checkConcurrency)},
		{"a failure leaves nothing behind", on(checkOutlives)},
		{"without webhooks none are taken", on(checkNoWebhooks)},
		{"a webhook names what it is about", on(checkWebhook)},
		{"a forged webhook is refused", on(checkForgedWebhook)},
		{"an old webhook is refused", on(checkOldWebhook)},
		{"a probe is one read", on(checkProbe)},
		{"a probe fails when the provider does", on(checkProbeFails)},
		{"a probe ends with its deadline", on(checkProbeHangs)},
	}
	for _, op := range []string{"get", "list", "create", "update", "set_default", "deactivate", "delete", "delete_vault", "delete_many"} {
		out = append(out, Check{"every status answered to " + op, on(checkStatuses(op))})
	}
	for _, c := range faultCases() {
		name := "fault " + string(c.rule.Fault) + " of a create"
		if c.rule.Status != 0 {
			name += " with status " + strconv.Itoa(c.rule.Status)
		}
		out = append(out, Check{name, on(checkFault(c))})
	}
	return out
}
