// What the user has signed in with. It is kept for this tab only, and sent to the gateway that served the page, and to the
// issuer that gave it, and nowhere else.

import { refresh, SignInError, type OidcClient, type Pending, type Tokens } from "./oidc.js";

const TOKEN = "steadfast.token";
const OIDC = "steadfast.oidc";
const PENDING = "steadfast.sign-in";
/** A token is renewed before it ends: requests take time, and clocks differ. */
const EARLY_MS = 30_000;

type Oidc = Tokens & { client: OidcClient };
type Store = Pick<Storage, "getItem" | "setItem" | "removeItem">;

export class Credentials {
  readonly #store: Store;
  #refreshing: Promise<void> | undefined;

  constructor(store: Store) {
    this.#store = store;
  }

  get isEmpty(): boolean {
    return this.#store.getItem(TOKEN) === null && this.#store.getItem(OIDC) === null;
  }

  /** The bearer token for a request that is sent now; a new one where the last one ends. */
  async token(): Promise<string | undefined> {
    const oidc = this.#oidc;
    if (!oidc) return this.#store.getItem(TOKEN) ?? undefined;
    if (oidc.refreshToken !== undefined && Date.now() > oidc.expiresAt - EARLY_MS) {
      // Requests at the same time share one: a refresh token may be good for one use.
      this.#refreshing ??= this.#refresh(oidc, oidc.refreshToken).finally(() => (this.#refreshing = undefined));
      await this.#refreshing;
    }
    // One that has ended is for the gateway to refuse: its clock counts.
    return this.#oidc?.idToken;
  }

  useToken(token: string): void {
    this.clear();
    this.#store.setItem(TOKEN, token);
  }

  useOidc(client: OidcClient, tokens: Tokens): void {
    this.clear();
    this.#write({ ...tokens, client });
  }

  clear(): void {
    for (const key of [TOKEN, OIDC, PENDING]) this.#store.removeItem(key);
  }

  /** A sign-in at the issuer begins: the page goes away, and comes back. */
  leave(pending: Pending): void {
    this.#store.setItem(PENDING, JSON.stringify(pending));
  }

  /** The sign-in that has begun. It is answered once. */
  return(): Pending | undefined {
    const pending = this.#read<Pending>(PENDING);
    this.#store.removeItem(PENDING);
    return pending;
  }

  async #refresh(oidc: Oidc, refreshToken: string): Promise<void> {
    try {
      const tokens = await refresh(oidc.client, refreshToken);
      if (this.#oidc?.refreshToken === refreshToken) this.#write({ ...tokens, client: oidc.client });
    } catch (error) {
      if (this.#oidc?.refreshToken !== refreshToken) return;
      if (error instanceof SignInError) {
        const { refreshToken: _, ...rest } = oidc;
        this.#write(rest);
      } else if (Date.now() > oidc.expiresAt) {
        throw error;
      }
    }
  }

  get #oidc(): Oidc | undefined {
    return this.#read<Oidc>(OIDC);
  }

  #write(oidc: Oidc): void {
    this.#store.setItem(OIDC, JSON.stringify(oidc));
  }

  #read<T>(key: string): T | undefined {
    const text = this.#store.getItem(key);
    return text === null ? undefined : (JSON.parse(text) as T);
  }
}
