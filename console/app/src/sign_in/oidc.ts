// Sign-in at an OpenID Connect issuer: the authorization code flow with PKCE, as a public client without a secret.
//
// The page leaves for the issuer and comes back with a code, which it exchanges for an ID token. That is the bearer token
// of the gateway, which verifies its signature; the page checks whether the token answers what it has asked.
// Sources: RFC 7636 (PKCE), RFC 9207 (`iss` in the answer), RFC 9700 (best practice), OpenID Connect Core 3.1.

/** How the gateway knows this page at the issuer. */
export interface OidcClient {
  issuer: string;
  client_id: string;
  scopes: string[];
}

/** What the page keeps while the user is at the issuer. */
export interface Pending {
  state: string;
  nonce: string;
  verifier: string;
  redirectUri: string;
  /** The page that the user came from, as a fragment of the URL. */
  hash: string;
  beganAt: number;
}

/** What a sign-in has given. */
export interface Tokens {
  idToken: string;
  /** In milliseconds. */
  expiresAt: number;
  /** Where the issuer gives one: then a new ID token needs no person. */
  refreshToken?: string;
}

/** The issuer, or its answer, is not as it must be; or the user has refused. Trying the same again does not help. */
export class SignInError extends Error {
  override name = "SignInError";
}

interface Endpoints {
  authorization: URL;
  token: URL;
  namesItself: boolean;
}

/** For each request to the issuer. */
const REQUEST_MS = 15_000;
/** Longer than anybody types a password and finds a second factor. */
const PENDING_MS = 30 * 60_000;
const RANDOM_BYTES = 32;

/** Where the user signs in, and what is needed when they come back. */
export async function begin(client: OidcClient, redirectUri: string, hash: string): Promise<{ url: string; pending: Pending }> {
  if (!globalThis.crypto.subtle) throw new SignInError("sign-in at the issuer needs a page that came over https://");
  const { authorization } = await discover(client);
  const pending = { state: random(), nonce: random(), verifier: random(), redirectUri, hash, beganAt: Date.now() };
  const query = {
    response_type: "code",
    client_id: client.client_id,
    redirect_uri: redirectUri,
    scope: client.scopes.join(" "),
    state: pending.state,
    nonce: pending.nonce,
    code_challenge: await challengeOf(pending.verifier),
    code_challenge_method: "S256",
  };
  for (const [name, value] of Object.entries(query)) authorization.searchParams.set(name, value);
  return { url: authorization.href, pending };
}

/** Whether a URL is that of a page to which an issuer has sent the user back. */
export function isAnswer(query: URLSearchParams): boolean {
  return query.has("state") && (query.has("code") || query.has("error"));
}

/** The tokens for the answer of the issuer. */
export async function finish(client: OidcClient, pending: Pending | undefined, query: URLSearchParams): Promise<Tokens> {
  if (!pending || query.get("state") !== pending.state) {
    throw new SignInError("this sign-in was not begun in this tab, or it is over: begin it again");
  }
  if (Date.now() - pending.beganAt > PENDING_MS) throw new SignInError("the sign-in took too long: begin it again");
  const from = query.get("iss");
  if (from !== null && from !== client.issuer) throw new SignInError(`the answer is of another issuer: ${from}`);
  const error = query.get("error");
  if (error !== null) throw new SignInError(`the issuer answered: ${query.get("error_description") ?? error}`);
  const { token, namesItself } = await discover(client);
  if (namesItself && from === null) throw new SignInError("the answer does not say of which issuer it is");
  const answer = await request(token, {
    grant_type: "authorization_code",
    code: query.get("code") ?? "",
    redirect_uri: pending.redirectUri,
    client_id: client.client_id,
    code_verifier: pending.verifier,
  });
  return tokensOf(answer, client, pending.nonce);
}

/** A new ID token without a person. */
export async function refresh(client: OidcClient, refreshToken: string): Promise<Tokens> {
  const { token } = await discover(client);
  const answer = await request(token, { grant_type: "refresh_token", refresh_token: refreshToken, client_id: client.client_id });
  // Where tokens rotate there is a new one; where they do not, the old one holds.
  return { refreshToken, ...tokensOf(answer, client, undefined) };
}

async function discover({ issuer }: OidcClient): Promise<Endpoints> {
  const found = await json(fetch(`${issuer.replace(/\/+$/, "")}/.well-known/openid-configuration`, options()), "the issuer");
  if (found.issuer !== issuer) throw new SignInError(`the discovery document is that of another issuer: ${String(found.issuer)}`);
  const endpoint = (name: string) => {
    const url = typeof found[name] === "string" && URL.canParse(found[name]) ? new URL(found[name]) : undefined;
    if (!url || url.protocol !== new URL(issuer).protocol) throw new SignInError(`the issuer has no ${name} that can be used`);
    return url;
  };
  const token = endpoint("token_endpoint");
  // The policy of the page lets it reach the issuer and no other server.
  if (token.origin !== new URL(issuer).origin) {
    throw new SignInError(`the token endpoint of the issuer is at another origin, ${token.origin}, which this page may not reach: sign in with a token`);
  }
  return { authorization: endpoint("authorization_endpoint"), token, namesItself: found.authorization_response_iss_parameter_supported === true };
}

function request(endpoint: URL, form: Record<string, string>): Promise<Record<string, unknown>> {
  return json(fetch(endpoint, { ...options(), method: "POST", body: new URLSearchParams(form) }), "the token endpoint of the issuer");
}

function options(): RequestInit {
  return { signal: AbortSignal.timeout(REQUEST_MS), credentials: "omit", redirect: "error", cache: "no-store", referrerPolicy: "no-referrer" };
}

async function json(sent: Promise<Response>, who: string): Promise<Record<string, unknown>> {
  let response: Response;
  try {
    response = await sent;
  } catch {
    // A browser does not say whether the server is away or forbids this page.
    throw new Error(`${who} cannot be reached, or does not let pages of ${globalThis.location?.origin ?? "this origin"} call it (CORS)`);
  }
  const body: unknown = await response.json().catch(() => undefined);
  const members = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : undefined;
  if (response.ok && members) return members;
  const reason = members?.error_description ?? members?.error ?? `status ${response.status}`;
  const message = `${who} answered: ${String(reason)}`;
  throw response.status >= 500 || response.status === 429 ? new Error(message) : new SignInError(message);
}

function tokensOf(answer: Record<string, unknown>, client: OidcClient, nonce: string | undefined): Tokens {
  const { id_token: idToken, refresh_token: refreshToken } = answer;
  if (typeof idToken !== "string") throw new SignInError("the issuer gave no ID token");
  const claims = claimsOf(idToken);
  const audiences = Array.isArray(claims.aud) ? claims.aud : [claims.aud];
  if (claims.iss !== client.issuer) throw new SignInError("the ID token is of another issuer");
  if (!audiences.includes(client.client_id)) throw new SignInError("the ID token is for another client");
  // An ID token that comes with a refresh need not repeat it (OpenID Connect Core 12.2).
  if (nonce !== undefined && claims.nonce !== nonce) throw new SignInError("the ID token does not answer this sign-in (nonce)");
  if (typeof claims.exp !== "number") throw new SignInError("the ID token has no time of expiry");
  return { idToken, expiresAt: claims.exp * 1000, ...(typeof refreshToken === "string" ? { refreshToken } : {}) };
}

function claimsOf(token: string): Record<string, unknown> {
  try {
    const part = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(part), (character) => character.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
  } catch {
    throw new SignInError("the ID token cannot be read");
  }
}

function random(): string {
  return base64Url(crypto.getRandomValues(new Uint8Array(RANDOM_BYTES)));
}

async function challengeOf(verifier: string): Promise<string> {
  return base64Url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
}

function base64Url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
