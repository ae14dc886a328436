import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";

import { Credentials } from "../src/sign_in/credentials.js";
import { begin, finish, isAnswer, refresh, SignInError, type OidcClient } from "../src/sign_in/oidc.js";

const PAGE = "https://agents.example.com/";

interface Issuer {
  client: OidcClient;
  /** What changes in its documents and answers. */
  discovery: Record<string, unknown>;
  claims: Record<string, unknown>;
  answer: Record<string, unknown>;
  status: number;
  /** The forms that the token endpoint got. */
  forms: URLSearchParams[];
}

async function issuer(context: TestContext): Promise<Issuer> {
  const server = createServer((request, response) => {
    const reply = (status: number, body: object) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    if (request.url === "/realm/.well-known/openid-configuration") {
      reply(200, { issuer: made.client.issuer, authorization_endpoint: `${made.client.issuer}/auth`, token_endpoint: `${made.client.issuer}/token`, ...made.discovery });
      return;
    }
    let body = "";
    request.on("data", (piece: Buffer) => (body += piece.toString()));
    request.on("end", () => {
      made.forms.push(new URLSearchParams(body));
      const claims = { iss: made.client.issuer, aud: "console", exp: 2_000_000_000, ...made.claims };
      const token = ["{}", JSON.stringify(claims), "x"].map((part) => Buffer.from(part).toString("base64url")).join(".");
      reply(made.status, { id_token: token, ...made.answer });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  context.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const made: Issuer = {
    client: { issuer: `http://127.0.0.1:${port}/realm`, client_id: "console", scopes: ["openid", "email"] },
    discovery: {},
    claims: {},
    answer: {},
    status: 200,
    forms: [],
  };
  return made;
}

const answerTo = (state: string) => new URLSearchParams({ code: "c0de", state });
const refused = (words: RegExp) => (error: unknown) => error instanceof SignInError && words.test(error.message);

test("the code is exchanged with the verifier of the challenge that the issuer was shown", async (context) => {
  const made = await issuer(context);
  const { url, pending } = await begin(made.client, PAGE, "#/approvals");
  const asked = new URL(url).searchParams;
  assert.equal(asked.get("response_type"), "code");
  assert.equal(asked.get("scope"), "openid email");
  assert.equal(asked.get("redirect_uri"), PAGE);
  assert.equal(asked.get("code_challenge_method"), "S256");
  assert.ok(!url.includes(pending.verifier));
  made.claims = { nonce: asked.get("nonce"), name: "Zoë" };
  made.answer = { refresh_token: "r1" };
  const query = answerTo(asked.get("state") ?? "");
  assert.ok(isAnswer(query));
  const tokens = await finish(made.client, pending, query);
  assert.equal(tokens.expiresAt, 2_000_000_000_000);
  assert.equal(tokens.refreshToken, "r1");
  const form = made.forms[0];
  assert.equal(form?.get("code"), "c0de");
  assert.equal(form?.get("client_secret"), null);
  const challenge = createHash("sha256").update(form?.get("code_verifier") ?? "").digest("base64url");
  assert.equal(challenge, asked.get("code_challenge"));
});

test("two sign-ins share no secret", async (context) => {
  const made = await issuer(context);
  const [one, other] = [await begin(made.client, PAGE, ""), await begin(made.client, PAGE, "")];
  for (const name of ["state", "nonce", "verifier"] as const) {
    assert.notEqual(one.pending[name], other.pending[name]);
    assert.ok(one.pending[name].length >= 43, name);
  }
});

test("an answer that this tab has not asked for gets no token", async (context) => {
  const made = await issuer(context);
  const { pending } = await begin(made.client, PAGE, "");
  const answer = answerTo(pending.state);
  await assert.rejects(finish(made.client, undefined, answer), refused(/not begun in this tab/));
  await assert.rejects(finish(made.client, pending, answerTo("forged")), refused(/not begun in this tab/));
  await assert.rejects(finish(made.client, { ...pending, beganAt: 0 }, answer), refused(/too long/));
  const mixed = new URLSearchParams({ code: "c", state: pending.state, iss: "https://evil.example.com" });
  await assert.rejects(finish(made.client, pending, mixed), refused(/another issuer/));
  made.discovery = { authorization_response_iss_parameter_supported: true };
  await assert.rejects(finish(made.client, pending, answer), refused(/does not say/));
  const denied = new URLSearchParams({ error: "access_denied", state: pending.state, iss: made.client.issuer });
  await assert.rejects(finish(made.client, pending, denied), refused(/access_denied/));
  assert.equal(made.forms.length, 0);
});

test("a token that does not answer the sign-in is refused", async (context) => {
  const made = await issuer(context);
  const { pending } = await begin(made.client, PAGE, "");
  for (const [claims, words] of [
    [{ nonce: "another" }, /nonce/],
    [{}, /nonce/],
    [{ nonce: pending.nonce, aud: "another" }, /another client/],
    [{ nonce: pending.nonce, iss: "https://evil.example.com" }, /another issuer/],
    [{ nonce: pending.nonce, exp: "soon" }, /expiry/],
  ] as const) {
    made.claims = claims;
    await assert.rejects(finish(made.client, pending, answerTo(pending.state)), refused(words));
  }
  made.claims = { nonce: pending.nonce };
  made.answer = { id_token: 7 };
  await assert.rejects(finish(made.client, pending, answerTo(pending.state)), refused(/no ID token/));
});

test("what an issuer says of itself is checked", async (context) => {
  const made = await issuer(context);
  for (const [discovery, words] of [
    [{ issuer: "https://evil.example.com" }, /another issuer/],
    [{ token_endpoint: "http://127.0.0.1:1/token" }, /another origin/],
    [{ authorization_endpoint: "javascript:alert(1)" }, /authorization_endpoint/],
    [{ token_endpoint: 7 }, /token_endpoint/],
  ] as const) {
    made.discovery = discovery;
    await assert.rejects(begin(made.client, PAGE, ""), refused(words));
  }
});

class Store {
  readonly values = new Map<string, string>();
  getItem = (key: string) => this.values.get(key) ?? null;
  setItem = (key: string, value: string) => void this.values.set(key, value);
  removeItem = (key: string) => void this.values.delete(key);
}

test("a token that ends is renewed once for all requests", async (context) => {
  const made = await issuer(context);
  const credentials = new Credentials(new Store());
  credentials.useOidc(made.client, { idToken: "old", expiresAt: Date.now() + 1000, refreshToken: "r1" });
  made.answer = { refresh_token: "r2" };
  const [one, other] = await Promise.all([credentials.token(), credentials.token()]);
  assert.notEqual(one, "old");
  assert.equal(one, other);
  assert.deepEqual(made.forms.map((form) => form.get("refresh_token")), ["r1"]);
  // The new one is good for long.
  assert.equal(await credentials.token(), one);
  assert.equal(made.forms.length, 1);
  const again = await refresh(made.client, "r2");
  assert.equal(again.refreshToken, "r2");
});

test("where an issuer renews nothing, the gateway refuses the old token, and an outage ends nothing", async (context) => {
  const made = await issuer(context);
  const credentials = new Credentials(new Store());
  made.status = 503;
  credentials.useOidc(made.client, { idToken: "old", expiresAt: Date.now() + 10_000, refreshToken: "r1" });
  assert.equal(await credentials.token(), "old");
  credentials.useOidc(made.client, { idToken: "old", expiresAt: Date.now() - 1, refreshToken: "r1" });
  await assert.rejects(credentials.token(), /status 503/);
  made.status = 400;
  made.answer = { error: "invalid_grant" };
  assert.equal(await credentials.token(), "old");
  assert.equal(made.forms.length, 3);
  // The issuer is not asked again.
  assert.equal(await credentials.token(), "old");
  assert.equal(made.forms.length, 3);
  assert.ok(!credentials.isEmpty);
  credentials.clear();
  assert.ok(credentials.isEmpty);
  assert.equal(await credentials.token(), undefined);
});

test("a sign-in that has begun is answered once", () => {
  const store = new Store();
  const credentials = new Credentials(store);
  const pending = { state: "s", nonce: "n", verifier: "v", redirectUri: PAGE, hash: "", beganAt: 1 };
  credentials.leave(pending);
  assert.deepEqual(credentials.return(), pending);
  assert.equal(credentials.return(), undefined);
  assert.equal(store.values.size, 0);
});
