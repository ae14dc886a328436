// Requests to the gateway, and its errors.

import type { ApiErrorBody } from "./api.js";

/** How the gateway is reached. */
export interface Connection {
  /** Requests a path of the gateway, with whatever authenticates the user. */
  fetch(path: string, init?: RequestInit): Promise<Response>;
}

/**
 * A connection with a bearer token, or with none where the gateway allows anonymous users, or a proxy signs people in. The
 * token is asked for with each request, so that it may be a new one.
 */
export function connectTo(baseUrl: string, token: () => string | undefined | Promise<string | undefined>): Connection {
  const base = baseUrl.replace(/\/+$/, "");
  return {
    fetch: async (path, init = {}) => {
      const headers = new Headers(init.headers);
      const bearer = await token();
      if (bearer) headers.set("authorization", `Bearer ${bearer}`);
      const response = await fetch(base + path, { ...init, headers, credentials: "same-origin", redirect: "manual" });
      // The gateway redirects nobody.
      if (response.type === "opaqueredirect" || (response.status >= 300 && response.status < 400)) {
        await response.body?.cancel();
        throw new ApiError(401, "a proxy in front of the gateway asks to sign in again: reload the page");
      }
      return response;
    },
  };
}

/** What the gateway answered in place of what was asked for. */
export class ApiError extends Error {
  override name = "ApiError";
  constructor(
    readonly status: number,
    message: string,
    readonly data: unknown = null,
    readonly retryAfterMs: number | undefined = undefined,
  ) {
    super(message);
  }

  /** Whether the same request may succeed later. */
  get mayPass(): boolean {
    return this.status === 408 || this.status === 425 || this.status === 429 || this.status >= 500;
  }
}

/** The error of a response that is not ok. */
export async function errorOf(response: Response): Promise<ApiError> {
  const body = (await response.json().catch(() => null)) as Partial<ApiErrorBody> | null;
  const message = typeof body?.message === "string" ? body.message : `the gateway answered with status ${response.status}`;
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  return new ApiError(response.status, message, body?.data ?? null, Number.isFinite(seconds) ? seconds * 1000 : undefined);
}
