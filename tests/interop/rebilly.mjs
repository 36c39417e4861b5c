// Drives Rebilly's stand-in with Rebilly's own JavaScript client, unchanged.
// What the official client sends and understands is the best witness that there
// is for what the stand-in should take and answer.
//
//   polyvault sandbox &
//   REBILLY_URL=http://127.0.0.1:9102 node rebilly.mjs
//
// Prints a line for each check and exits 1 if one fails.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import process from 'node:process';

const { default: RebillyAPI } = createRequire(import.meta.url)('rebilly-js-sdk');

const url = process.env.REBILLY_URL ?? 'http://127.0.0.1:9102';
const organizationId = process.env.REBILLY_ORGANIZATION ?? 'org_sandbox';
const apiKey = process.env.REBILLY_KEY ?? 'sk_sandbox_polyvault';
const publishableKey = process.env.REBILLY_PUBLISHABLE_KEY ?? 'pk_sandbox_polyvault';

// client returns the official client, its two hosts set to the stand-in's.
function client(change = {}) {
  return RebillyAPI({ apiKey, organizationId, sandbox: true, urls: { live: url, sandbox: url }, timeout: 15_000, ...change });
}

let passed = 0;
let failed = 0;
async function check(name, f) {
  try {
    await f();
    passed += 1;
    console.log(`ok ${passed + failed} - ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`not ok ${passed + failed} - ${name}\n  ${String(error.stack ?? error).replaceAll('\n', '\n  ')}`);
  }
}

// refused requires the client's own error for a status.
async function refused(promise, name, status) {
  const error = await promise.then(
    () => assert.fail(`expected ${status}, got a success`),
    (e) => e,
  );
  assert.equal(error.name, name, error.stack);
  assert.equal(error.status, status);
  return error;
}

const fieldsOf = (error) => error.invalidFields.map((f) => f.field).sort();

const api = client();
const browser = client({ apiKey: null });
browser.setPublishableKey(publishableKey);

// Each run makes its own customer, so that it can be repeated on one stand-in.
const run = `${Date.now().toString(36)}${Math.random().toString(36).slice(2, 8)}`;
const customerId = `interop_${run}`;
const billingAddress = {
  firstName: 'Ada', lastName: 'Byron', organization: 'Ñandú Ltd', address: '1 Main St', city: 'Austin', region: 'TX',
  country: 'US', postalCode: '78701', emails: [{ label: 'main', value: 'ada@example.com', primary: true }],
};
const card = (pan, more = {}) => ({ method: 'payment-card', customerId, pan, cvv: '123', expMonth: 12, expYear: 2040, billingAddress, ...more });
const mint = (pan, on = browser) => on.paymentTokens.create({
  data: { method: 'payment-card', paymentInstrument: { pan, cvv: '123', expMonth: 11, expYear: 2041 }, billingAddress },
});

let visa;
let mastercard;
let bank;

await check('create a customer under an id of our own', async () => {
  const { fields, response } = await api.customers.create({ id: customerId, data: { primaryAddress: billingAddress } });
  assert.equal(response.status, 201);
  assert.equal(fields.id, customerId);
  assert.equal(fields.email, 'ada@example.com');
});

await check('the same id again is a conflict, by the client itself', async () => {
  await assert.rejects(api.customers.create({ id: customerId, data: {} }), { name: 'RebillyConflictError' });
});

await check('create a customer under a generated id', async () => {
  const { fields, response } = await api.customers.create({ data: { primaryAddress: { firstName: 'Grace' } } });
  assert.equal(response.status, 201);
  assert.match(fields.id, /^cus_[0-9A-Z]{26}$/);
  const read = await api.customers.get({ id: fields.id });
  assert.equal(read.fields.firstName, 'Grace');
});

await check('update a customer', async () => {
  const { fields, response } = await api.customers.update({
    id: customerId, data: { primaryAddress: { ...billingAddress, city: 'Dallas' }, locale: 'en_US' },
  });
  assert.equal(response.status, 200);
  assert.equal(fields.primaryAddress.city, 'Dallas');
  assert.equal(fields.revision, 2);
});

await check('list customers with a filter, and choose fields', async () => {
  const list = await api.customers.getAll({ filter: `id:${customerId}`, fields: 'locale' });
  assert.equal(list.total, 1);
  assert.deepEqual(Object.keys(list.items[0].fields).sort(), ['id', 'locale']);
});

await check('create a token with the publishable key; it shows no number', async () => {
  const { fields, response } = await mint('5555555555554444');
  assert.equal(response.status, 201);
  assert.equal(fields.isUsed, false);
  assert.equal(fields.paymentInstrument.last4, '4444');
  assert.ok(!JSON.stringify(fields).includes('5555555555554444'));
  const read = await browser.paymentTokens.get({ token: fields.id });
  assert.equal(read.fields.id, fields.id);
});

await check('create an instrument from a token', async () => {
  const { fields: token } = await mint('5555555555554444');
  const { fields, response } = await api.paymentInstruments.create({ data: { customerId, token: token.id } });
  assert.equal(response.status, 201);
  mastercard = fields;
  assert.equal(fields.brand, 'MasterCard');
  assert.equal(fields.status, 'inactive');
  assert.deepEqual([fields.bin, fields.last4, fields.expMonth, fields.expYear], ['555555', '4444', 11, 2041]);
  assert.equal(fields.billingAddress.city, 'Austin');
  const used = await api.paymentTokens.get({ token: token.id });
  assert.equal(used.fields.isUsed, true);
});

await check('a used token is refused', async () => {
  const { fields: token } = await mint('4111111111111111', api);
  await api.paymentInstruments.create({ data: { customerId, token: token.id } });
  const error = await refused(api.paymentInstruments.create({ data: { customerId, token: token.id } }), 'RebillyValidationError', 422);
  assert.deepEqual(fieldsOf(error), ['token']);
});

await check('create an instrument from a card: the same card is the same instrument, which the client reads behind the 303', async () => {
  const first = await api.paymentInstruments.create({ data: card('378282246310005') });
  assert.equal(first.response.status, 201);
  const again = await api.paymentInstruments.create({ data: card('378282246310005', { expYear: 2042 }) });
  assert.equal(again.response.status, 200);
  assert.equal(again.fields.id, first.fields.id);
  assert.equal(again.fields.expYear, 2042);
  assert.equal(again.fields.revision, 2);
  visa = (await api.paymentInstruments.create({ data: card('4111111111111111') })).fields;
  assert.equal(visa.brand, 'Visa');
  assert.ok(!JSON.stringify(visa).includes('4111111111111111'));
});

await check('create bank accounts, BBAN and IBAN', async () => {
  const base = { method: 'ach', customerId, billingAddress };
  const bban = await api.paymentInstruments.create({
    data: { ...base, accountNumberType: 'BBAN', accountNumber: '000123456789', routingNumber: '021000021', accountType: 'checking' },
  });
  bank = bban.fields;
  assert.deepEqual([bank.method, bank.last4, bank.routingNumber, bank.status], ['ach', '6789', '021000021', 'active']);
  const iban = await api.paymentInstruments.create({
    data: { ...base, accountNumberType: 'IBAN', accountNumber: 'DE89370400440532013000' },
  });
  assert.equal(iban.fields.last4, '3000');
});

await check('list with a filter and a sort order', async () => {
  const list = await api.paymentInstruments.getAll({ filter: `customerId:${customerId};method:payment-card`, sort: ['-createdTime', 'id'] });
  assert.equal(list.total, 3);
  assert.ok(list.items.every((i) => i.fields.method === 'payment-card'));
  const times = list.items.map((i) => Date.parse(i.fields.createdTime));
  assert.deepEqual(times, [...times].sort((a, b) => b - a));
  const some = await api.paymentInstruments.getAll({ filter: `customerId:${customerId};brand:Visa,MasterCard;status:!deactivated` });
  assert.deepEqual(some.items.map((i) => i.fields.brand).sort(), ['MasterCard', 'Visa']);
  const range = await api.paymentInstruments.getAll({ filter: `customerId:${customerId};expYear:2041..2042` });
  assert.equal(range.total, 2);
});

await check('list in pages', async () => {
  const seen = new Set();
  for (let offset = 0; offset < 5; offset += 2) {
    const page = await api.paymentInstruments.getAll({ filter: `customerId:${customerId}`, sort: ['createdTime', 'id'], limit: 2, offset });
    assert.deepEqual([page.total, page.limit, page.offset], [5, 2, offset]);
    page.items.forEach((i) => seen.add(i.fields.id));
  }
  assert.equal(seen.size, 5);
});

await check('search, and expand the customer', async () => {
  const list = await api.paymentInstruments.getAll({ filter: `customerId:${customerId}`, q: 'checking', expand: 'customer' });
  assert.equal(list.total, 1);
  assert.equal(list.items[0].fields._embedded.customer.id, customerId);
});

await check('get an instrument', async () => {
  const { fields, response } = await api.paymentInstruments.get({ id: visa.id });
  assert.equal(response.status, 200);
  assert.equal(fields.last4, '1111');
  assert.equal(fields._links.find((l) => l.rel === 'customer').href, `${url}/organizations/${organizationId}/customers/${customerId}`);
});

await check('update a card: expiry and address', async () => {
  const { fields, response } = await api.paymentInstruments.update({
    id: visa.id, data: { expMonth: 1, expYear: 2045, billingAddress: { ...billingAddress, address2: null, city: 'Houston' } },
  });
  assert.equal(response.status, 200);
  assert.deepEqual([fields.expMonth, fields.expYear, fields.billingAddress.city], [1, 2045, 'Houston']);
  assert.equal(fields.revision, visa.revision + 1);
});

await check('update with a new token', async () => {
  const { fields: token } = await browser.paymentTokens.create({
    data: { method: 'payment-card', paymentInstrument: { expMonth: 2, expYear: 2046 } },
  });
  const { fields } = await api.paymentInstruments.update({ id: mastercard.id, data: { token: token.id } });
  assert.deepEqual([fields.last4, fields.expMonth, fields.expYear], ['4444', 2, 2046]);
});

await check('update a bank account', async () => {
  const { fields } = await api.paymentInstruments.update({ id: bank.id, data: { accountType: 'savings', bankName: 'First Bank' } });
  assert.deepEqual([fields.accountType, fields.bankName], ['savings', 'First Bank']);
});

await check('make an instrument the default through its customer, and clear it', async () => {
  const { fields: customer } = await api.customers.get({ id: customerId });
  assert.equal(customer.defaultPaymentInstrument, null);
  const data = { primaryAddress: customer.primaryAddress, locale: customer.locale, defaultPaymentInstrumentId: visa.id };
  const { fields } = await api.customers.update({ id: customerId, data });
  assert.deepEqual(fields.defaultPaymentInstrument, { method: 'payment-card', paymentInstrumentId: visa.id });
  assert.equal(fields.locale, 'en_US');
  const cleared = await api.customers.update({ id: customerId, data: { ...data, defaultPaymentInstrumentId: null } });
  assert.equal(cleared.fields.defaultPaymentInstrument, null);
  await api.customers.update({ id: customerId, data });
});

await check('deactivate an instrument: it stays readable, and is nobody\'s default', async () => {
  const { fields, response } = await api.paymentInstruments.deactivate({ id: visa.id });
  assert.equal(response.status, 201);
  assert.equal(fields.status, 'deactivated');
  const read = await api.paymentInstruments.get({ id: visa.id });
  assert.equal(read.response.status, 200);
  assert.equal(read.fields.status, 'deactivated');
  const { fields: customer } = await api.customers.get({ id: customerId });
  assert.equal(customer.defaultPaymentInstrument, null);
});

await check('409: deactivating again', async () => {
  await refused(api.paymentInstruments.deactivate({ id: visa.id }), 'RebillyConflictError', 409);
});

await check('the same card after a deactivation is a new instrument', async () => {
  const { fields, response } = await api.paymentInstruments.create({ data: card('4111111111111111') });
  assert.equal(response.status, 201);
  assert.notEqual(fields.id, visa.id);
});

await check('merge a customer into another', async () => {
  const { fields: other } = await api.customers.create({ data: {} });
  const { fields } = await api.paymentInstruments.create({ data: card('6011111111111117', { customerId: other.id }) });
  const { response } = await api.customers.merge({ id: other.id, targetCustomerId: customerId });
  assert.equal(response.status, 204);
  assert.equal((await api.paymentInstruments.get({ id: fields.id })).fields.customerId, customerId);
  await refused(api.customers.get({ id: other.id }), 'RebillyNotFoundError', 404);
});

await check('401: a wrong key', async () => {
  await refused(client({ apiKey: 'sk_sandbox_wrong' }).paymentInstruments.getAll(), 'RebillyForbiddenError', 401);
});

await check('403: a publishable key is for tokens only, and a key is for its organization', async () => {
  await refused(browser.paymentInstruments.getAll(), 'RebillyRequestError', 403);
  await refused(client({ organizationId: 'org_other' }).paymentInstruments.getAll(), 'RebillyRequestError', 403);
});

await check('404: an instrument that never was', async () => {
  await refused(api.paymentInstruments.get({ id: 'inst_00000000000000000000000000' }), 'RebillyNotFoundError', 404);
  await refused(api.paymentInstruments.update({ id: 'inst_00000000000000000000000000', data: {} }), 'RebillyNotFoundError', 404);
});

await check('422: what is wrong is named', async () => {
  const error = await refused(
    api.paymentInstruments.create({ data: card('4111111111111111', { expMonth: 13, billingAddress: { country: 'usa', city: '' } }) }),
    'RebillyValidationError', 422,
  );
  assert.deepEqual(fieldsOf(error), ['billingAddress.city', 'billingAddress.country', 'expMonth']);
});

await check('422: variants cannot be mixed', async () => {
  const { fields: token } = await mint('4111111111111111');
  await refused(api.paymentInstruments.create({ data: card('4111111111111111', { token: token.id }) }), 'RebillyValidationError', 422);
  await refused(api.paymentInstruments.update({ id: mastercard.id, data: { token: token.id, expMonth: 1 } }), 'RebillyValidationError', 422);
  await refused(api.paymentInstruments.update({ id: bank.id, data: { expMonth: 1, expYear: 2040 } }), 'RebillyValidationError', 422);
});

await check('422: limits of a list', async () => {
  assert.deepEqual(fieldsOf(await refused(api.paymentInstruments.getAll({ limit: 1001 }), 'RebillyValidationError', 422)), ['limit']);
  assert.deepEqual(fieldsOf(await refused(api.paymentInstruments.getAll({ offset: 1001 }), 'RebillyValidationError', 422)), ['offset']);
  assert.deepEqual(fieldsOf(await refused(api.paymentInstruments.getAll({ filter: 'customerId' }), 'RebillyValidationError', 422)), ['filter']);
});

await check('rate headers come with changes', async () => {
  const { response } = await api.paymentInstruments.update({ id: mastercard.id, data: { useAsBackup: true } });
  assert.match(response.headers['x-ratelimit-limit'], /^\d+$/);
  assert.match(response.headers['x-ratelimit-remaining'], /^\d+$/);
});

console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
