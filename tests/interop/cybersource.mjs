// Drives CyberSource's stand-in with CyberSource's own Node client, unchanged.
// What the official client sends and understands is the best witness that there
// is for what the stand-in should take and answer.
//
//   polyvault sandbox --tls-ca-out ca.pem &
//   NODE_EXTRA_CA_CERTS=ca.pem CYBERSOURCE_URL=https://localhost:10101 node cybersource.mjs
//
// Prints a line for each check and exits 1 if one fails.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import process from 'node:process';

const cybersource = createRequire(import.meta.url)('cybersource-rest-client');

const base = new URL(process.env.CYBERSOURCE_URL ?? 'https://localhost:10101');
const credentials = {
  runEnvironment: base.host,
  merchantID: process.env.CYBERSOURCE_MERCHANT ?? 'testmerchant',
  merchantKeyId: process.env.CYBERSOURCE_KEY_ID ?? '08c94330-f618-42a3-b09d-e1e43be5efda',
  merchantsecretKey: process.env.CYBERSOURCE_SECRET ?? 'dW5pdC10ZXN0LXNoYXJlZC1zZWNyZXQtMzJieXRlcyE=',
  logConfiguration: { enableLog: false },
};
const missing = '0123456789ABCDEF0123456789ABCDEF';

// api returns the client's class of that name, signing as change says.
function api(name, change = {}) {
  const config = { authenticationType: 'http_signature', ...credentials, ...change };
  return new cybersource[name](config, new cybersource.ApiClient());
}

// call runs one method and resolves to what came back, errors included.
function call(target, method, ...args) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${method}: no answer`)), 15_000);
    try {
      target[method](...args, (error, data, response) => {
        clearTimeout(timer);
        const raw = response ?? error?.response ?? error;
        const text = raw?.text ?? raw?.data ?? '';
        let body = text;
        try {
          body = typeof text === 'string' ? JSON.parse(text) : text;
        } catch {
          // an empty body stays as it is
        }
        resolve({ error, data, body, status: raw?.status ?? error?.status, header: raw?.header ?? raw?.headers ?? {} });
      });
    } catch (error) {
      clearTimeout(timer);
      reject(error);
    }
  });
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

const customers = api('CustomerApi');
const instruments = api('CustomerPaymentInstrumentApi');
const identifiers = api('InstrumentIdentifierApi');
const errorType = (r) => r.body?.errors?.[0]?.type;

function refused(r, status, type) {
  assert.ok(r.error, `expected ${status}, got a success`);
  assert.equal(r.status, status, JSON.stringify(r.body));
  if (type) assert.equal(errorType(r), type);
}

let customer;
let identifier;
let first;
let second;
let tag;
const instrument = (identifierId, month = '12') => ({
  card: { expirationMonth: month, expirationYear: '2031', type: '001' },
  billTo: {
    firstName: 'Ada', lastName: 'Lovelace', company: 'Ñandú Ltd', address1: '1 Market St', locality: 'San Francisco',
    administrativeArea: 'CA', postalCode: '94105', country: 'US', email: 'ada@example.com', phoneNumber: '4158880000',
  },
  instrumentIdentifier: { id: identifierId },
});

await check('create a customer', async () => {
  const r = await call(customers, 'postCustomer', {
    buyerInformation: { merchantCustomerID: 'cus-42', email: 'ada@example.com' },
    clientReferenceInformation: { code: 'cus_42' },
  }, {});
  assert.equal(r.status, 201, JSON.stringify(r.body));
  customer = r.data.id;
  assert.match(customer, /^[0-9A-F]{32}$/);
});

await check('read the customer back', async () => {
  const r = await call(customers, 'getCustomer', customer, {});
  assert.equal(r.status, 200);
  assert.equal(r.data.buyerInformation.merchantCustomerID, 'cus-42');
});

await check('create an instrument identifier: 201, masked', async () => {
  const r = await call(identifiers, 'postInstrumentIdentifier', { card: { number: '4111111111111111' } }, {});
  assert.equal(r.status, 201, JSON.stringify(r.body));
  identifier = r.data.id;
  assert.equal(r.data.card.number, '411111XXXXXX1111');
  assert.ok(!JSON.stringify(r.body).includes('4111111111111111'));
});

await check('the same number is the same identifier: 200', async () => {
  const r = await call(identifiers, 'postInstrumentIdentifier', { card: { number: '4111111111111111' } }, {});
  assert.equal(r.status, 200);
  assert.equal(r.data.id, identifier);
  assert.equal(r.header['instrumentidentifier-created'], 'false');
});

await check('create a payment instrument: the first is the default', async () => {
  const r = await call(instruments, 'postCustomerPaymentInstrument', customer, instrument(identifier), {});
  assert.equal(r.status, 201, JSON.stringify(r.body));
  first = r.data.id;
  assert.equal(r.data._default ?? r.body.default, true);
  assert.equal(r.body._embedded.instrumentIdentifier.card.number, '411111XXXXXX1111');
});

await check('payment instruments are not deduped', async () => {
  const r = await call(instruments, 'postCustomerPaymentInstrument', customer, instrument(identifier, '11'), {});
  assert.equal(r.status, 201);
  second = r.data.id;
  assert.notEqual(second, first);
  assert.equal(r.body.default, false);
});

await check('list, with paging and its links', async () => {
  const all = await call(instruments, 'getCustomerPaymentInstrumentsList', customer, {});
  assert.equal(all.status, 200);
  assert.equal(all.data.total, 2);
  assert.deepEqual(all.body._embedded.paymentInstruments.map((p) => p.id), [first, second]);
  const page = await call(instruments, 'getCustomerPaymentInstrumentsList', customer, { offset: 1, limit: 1 });
  assert.deepEqual(page.body._embedded.paymentInstruments.map((p) => p.id), [second]);
  assert.ok(page.data._links.prev && !page.data._links.next);
  assert.equal(page.header['x-total-count'], '2');
  const past = await call(instruments, 'getCustomerPaymentInstrumentsList', customer, { offset: 7, limit: 2 });
  assert.equal(past.status, 200);
  assert.equal(past.body._embedded, undefined);
});

await check('a limit over 100 is refused: 400 invalidParameters', async () => {
  refused(await call(instruments, 'getCustomerPaymentInstrumentsList', customer, { limit: 101 }), 400, 'invalidParameters');
});

await check('read a payment instrument, with its tag', async () => {
  const r = await call(instruments, 'getCustomerPaymentInstrument', customer, second, {});
  assert.equal(r.status, 200);
  assert.equal(r.data.card.expirationMonth, '11');
  assert.equal(r.data.billTo.company, 'Ñandú Ltd');
  tag = r.header.etag;
  assert.ok(tag && tag.length <= 32);
  assert.ok(r.header['v-c-correlation-id']);
});

await check('patch with if-match', async () => {
  const r = await call(instruments, 'patchCustomersPaymentInstrument', customer, second,
    { card: { expirationMonth: '10' }, billTo: { address1: '2 Market St', phoneNumber: null } }, { ifMatch: tag });
  assert.equal(r.status, 200, JSON.stringify(r.body));
  assert.equal(r.data.card.expirationMonth, '10');
  assert.equal(r.data.card.expirationYear, '2031');
  assert.equal(r.body.billTo.address1, '2 Market St');
  assert.equal(r.body.billTo.locality, 'San Francisco');
  assert.equal(r.body.billTo.phoneNumber, undefined);
});

await check('patch with an old tag: 412 conflict', async () => {
  refused(await call(instruments, 'patchCustomersPaymentInstrument', customer, second, { card: { expirationMonth: '09' } }, { ifMatch: tag }), 412, 'conflict');
});

await check('the default cannot be deleted while there is another: 409', async () => {
  refused(await call(instruments, 'deleteCustomerPaymentInstrument', customer, first, {}), 409, 'conflict');
});

await check('make the other one the default, as the string that the examples send', async () => {
  const r = await call(instruments, 'patchCustomersPaymentInstrument', customer, second, { default: 'true' }, {});
  assert.equal(r.status, 200, JSON.stringify(r.body));
  assert.equal(r.body.default, true);
  const before = await call(instruments, 'getCustomerPaymentInstrument', customer, first, {});
  assert.equal(before.body.default, false);
});

await check('delete, then 410', async () => {
  const r = await call(instruments, 'deleteCustomerPaymentInstrument', customer, first, {});
  assert.equal(r.status, 204);
  refused(await call(instruments, 'getCustomerPaymentInstrument', customer, first, {}), 410, 'notAvailable');
  refused(await call(instruments, 'deleteCustomerPaymentInstrument', customer, first, {}), 410, 'notAvailable');
});

await check('an identifier in use cannot be deleted: 409', async () => {
  refused(await call(identifiers, 'deleteInstrumentIdentifier', identifier, {}), 409, 'instrumentIdentifierDeletionError');
});

await check('the instruments of an identifier', async () => {
  const r = await call(identifiers, 'getInstrumentIdentifierPaymentInstrumentsList', identifier, {});
  assert.equal(r.status, 200);
  assert.deepEqual(r.body._embedded.paymentInstruments.map((p) => p.id), [second]);
  assert.equal(r.body._embedded.paymentInstruments[0].card.type, 'visa');
});

await check('the last one may be deleted, and takes its identifier with it', async () => {
  assert.equal((await call(instruments, 'deleteCustomerPaymentInstrument', customer, second, {})).status, 204);
  refused(await call(identifiers, 'getInstrumentIdentifier', identifier, {}), 410, 'notAvailable');
});

await check('an instrument upon a deleted or unknown identifier: 400', async () => {
  refused(await call(instruments, 'postCustomerPaymentInstrument', customer, instrument(identifier), {}), 400, 'instrumentIdentifierGone');
  refused(await call(instruments, 'postCustomerPaymentInstrument', customer, instrument('7010000000000000000'), {}), 400, 'instrumentIdentifierNotFound');
});

await check('a bank account', async () => {
  const i = await call(identifiers, 'postInstrumentIdentifier', { bankAccount: { number: '4100', routingNumber: '071923284' } }, {});
  assert.equal(i.status, 201);
  const r = await call(instruments, 'postCustomerPaymentInstrument', customer, {
    bankAccount: { type: 'checking' }, buyerInformation: { currency: 'USD' },
    processingInformation: { bankTransferOptions: { SECCode: 'WEB' } }, instrumentIdentifier: { id: i.data.id },
  }, {});
  assert.equal(r.status, 201, JSON.stringify(r.body));
  refused(await call(instruments, 'patchCustomersPaymentInstrument', customer, r.data.id, { card: { expirationMonth: '12' } }, {}), 400, 'unsupportedPaymentMethodModification');
});

await check('invalid members: 400 with their names', async () => {
  const r = await call(instruments, 'postCustomerPaymentInstrument', customer, instrument('7010000000000000000', '13'), {});
  refused(r, 400, 'invalidFields');
  assert.deepEqual(r.body.errors[0].details, [{ location: 'card', name: 'expirationMonth' }]);
  refused(await call(identifiers, 'postInstrumentIdentifier', { card: { number: '4111111111111112' } }, {}), 400, 'invalidFields');
});

await check('what never existed: 404', async () => {
  refused(await call(instruments, 'getCustomerPaymentInstrument', customer, missing, {}), 404, 'notFound');
  refused(await call(customers, 'getCustomer', missing, {}), 404, 'notFound');
});

await check('an unknown profile: 424', async () => {
  refused(await call(customers, 'getCustomer', customer, { profileId: '11111111-2222-4333-8444-555555555555' }), 424, 'notFound');
});

await check('a wrong secret: 401', async () => {
  const wrong = api('CustomerApi', { merchantsecretKey: 'd3Jvbmctc2VjcmV0LXdyb25nLXNlY3JldC13cm9uZyE=' });
  refused(await call(wrong, 'getCustomer', customer, {}), 401);
});

await check('a JWT with the shared secret', async () => {
  const change = { authenticationType: 'jwt', jwtKeyType: 'SHARED_SECRET' };
  const r = await call(api('CustomerApi', change), 'getCustomer', customer, {});
  assert.equal(r.status, 200, JSON.stringify(r.body));
  const made = await call(api('CustomerApi', change), 'postCustomer', { objectInformation: { title: 'Ñandú' } }, {});
  assert.equal(made.status, 201, JSON.stringify(made.body));
  const wrong = { ...change, merchantsecretKey: 'd3Jvbmctc2VjcmV0LXdyb25nLXNlY3JldC13cm9uZyE=' };
  refused(await call(api('CustomerApi', wrong), 'getCustomer', customer, {}), 401);
});

await check('a transient token becomes an instrument, once', async () => {
  const part = (o) => Buffer.from(JSON.stringify(o)).toString('base64url');
  const jti = `interop${Date.now()}${process.pid}`;
  const jwt = `${part({ alg: 'RS256' })}.${part({ jti, data: { number: '555555XXXXXX4444', type: '002', expirationMonth: '08', expirationYear: '2032' } })}.c2ln`;
  const request = {
    clientReferenceInformation: { code: 'interop' },
    processingInformation: { actionList: ['TOKEN_CREATE'], actionTokenTypes: ['paymentInstrument', 'instrumentIdentifier'], capture: false },
    paymentInformation: { customer: { id: customer } },
    orderInformation: { amountDetails: { totalAmount: '0', currency: 'USD' } },
    tokenInformation: { transientTokenJwt: jwt },
  };
  const payments = api('PaymentsApi');
  const r = await call(payments, 'createPayment', request);
  assert.equal(r.status, 201, JSON.stringify(r.body));
  assert.equal(r.data.status, 'AUTHORIZED');
  const made = await call(instruments, 'getCustomerPaymentInstrument', customer, r.data.tokenInformation.paymentInstrument.id, {});
  assert.equal(made.body._embedded.instrumentIdentifier.card.number, '555555XXXXXX4444');
  const again = await call(payments, 'createPayment', request);
  assert.equal(again.status, 400);
  assert.deepEqual(again.body.details, [{ field: 'tokenInformation.jti', reason: 'INVALID_DATA' }]);
});

await check('delete the customer: 204, then 410', async () => {
  assert.equal((await call(customers, 'deleteCustomer', customer, {})).status, 204);
  refused(await call(customers, 'getCustomer', customer, {}), 410, 'notAvailable');
});

console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
