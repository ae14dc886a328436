// Who the user is, for the pages.

import { connectTo, GatewayClient, type Connection } from "@steadfast/client";
import { createContext, useContext } from "react";

import { Credentials } from "../sign_in/credentials";

export interface Session {
  connection: Connection;
  gateway: GatewayClient;
}

export const credentials = new Credentials(window.sessionStorage);

/** The page stands beside the API, wherever a proxy puts both. */
export function baseUrl(): string {
  return new URL(".", window.location.href).href;
}

/** A session with what the user has signed in with, or with nothing where nobody has to. */
export function openSession(): Session {
  const connection = connectTo(baseUrl(), () => credentials.token());
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
