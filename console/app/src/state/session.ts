// Who the user is. The token is kept for this tab only, and sent to the gateway that served the page and nowhere else.

import { connectTo, GatewayClient, type Connection } from "@steadfast/client";
import { createContext, useContext } from "react";

const TOKEN = "steadfast.token";

export interface Session {
  connection: Connection;
  gateway: GatewayClient;
}

export function readToken(): string | undefined {
  return sessionStorage.getItem(TOKEN) ?? undefined;
}

export function writeToken(token: string | undefined): void {
  if (token) sessionStorage.setItem(TOKEN, token);
  else sessionStorage.removeItem(TOKEN);
}

/** A session with a token, or with none where the gateway allows anonymous users. */
export function openSession(token: string | undefined): Session {
  // The page stands beside the API, wherever a proxy puts both.
  const base = new URL(".", window.location.href).href;
  const connection = connectTo(base, () => token);
  return { connection, gateway: new GatewayClient(connection) };
}

export const SessionContext = createContext<Session | undefined>(undefined);

export function useSession(): Session {
  const session = useContext(SessionContext);
  if (!session) throw new Error("no session");
  return session;
}

/** A key under which the gateway does what it names once. `randomUUID` is missing where the page came without TLS. */
export function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
