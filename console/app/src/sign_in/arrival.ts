// The page was loaded: perhaps the user comes back from the issuer.

import { connectTo, GatewayClient } from "@steadfast/client";

import { baseUrl, credentials } from "../state/session";
import { begin, finish, isAnswer, type OidcClient } from "./oidc";

/** Leaves for the issuer. */
export async function leaveFor(client: OidcClient): Promise<void> {
  const { url, pending } = await begin(client, baseUrl(), window.location.hash);
  credentials.leave(pending);
  window.location.assign(url);
}

/**
 * Signs in with the answer of the issuer, where the page has one; gives what went wrong. The code leaves the address at
 * once, so that neither a reload nor a bookmark has it.
 */
export function arrive(): Promise<Error | undefined> | undefined {
  const query = new URLSearchParams(window.location.search);
  if (!isAnswer(query)) return undefined;
  const pending = credentials.return();
  window.history.replaceState(null, "", baseUrl() + (pending?.hash ?? ""));
  const signIn = async () => {
    const { oidc } = await signInWays();
    if (!oidc) throw new Error("this gateway has no issuer to sign in at");
    credentials.useOidc(oidc, await finish(oidc, pending, query));
    return undefined;
  };
  return signIn().catch((error: unknown) => (error instanceof Error ? error : new Error(String(error))));
}

export function signInWays(signal?: AbortSignal) {
  return new GatewayClient(connectTo(baseUrl(), () => undefined)).signInWays(signal);
}
