// Sign-in: at the issuer, at a proxy, or with a token, as the gateway has it.

import type { SignIn } from "@steadfast/client";
import { useEffect, useId, useState } from "react";

import { ErrorNotice, Notice, Spinner } from "../parts/feedback";
import { leaveFor, signInWays } from "../sign_in/arrival";
import type { OidcClient } from "../sign_in/oidc";

export interface SignInProblem {
  title: string;
  message: string;
}

export function SignInPage({ problem, onToken }: { problem: SignInProblem | undefined; onToken: (token: string) => void }) {
  const ways = useWays();
  return (
    <main className="grid h-full place-items-center p-4">
      <div className="card grid w-full max-w-md gap-4 p-6">
        <h1 className="text-lg font-semibold">Sign in to Steadfast</h1>
        {problem && <Notice tone="bad" role="alert" title={problem.title}>{problem.message}</Notice>}
        {ways === "asking" ? <Spinner label="Asking the gateway how to sign in…" /> : <Ways ways={ways} onToken={onToken} />}
      </div>
    </main>
  );
}

/** The ways; `undefined` where the gateway does not answer, and a token may still be right. */
function useWays(): SignIn | "asking" | undefined {
  const [ways, setWays] = useState<SignIn | "asking" | undefined>("asking");
  useEffect(() => {
    const stop = new AbortController();
    signInWays(stop.signal).then(setWays, () => stop.signal.aborted || setWays(undefined));
    return () => stop.abort();
  }, []);
  return ways;
}

function Ways({ ways, onToken }: { ways: SignIn | undefined; onToken: (token: string) => void }) {
  const oidc = ways?.oidc ?? undefined;
  const proxy = ways?.proxy ?? false;
  return (
    <>
      {oidc && <AtIssuer client={oidc} />}
      {proxy && <AtProxy />}
      {(oidc || proxy) && <p className="text-center text-sm text-soft">or with a token</p>}
      <WithToken takesKeys={ways?.api_keys ?? false} isOnlyWay={!oidc && !proxy} onToken={onToken} />
    </>
  );
}

function AtIssuer({ client }: { client: OidcClient }) {
  const [error, setError] = useState<Error | undefined>();
  const [leaving, setLeaving] = useState(false);
  const leave = () => {
    setError(undefined);
    setLeaving(true);
    leaveFor(client).catch((error: unknown) => {
      setLeaving(false);
      setError(error instanceof Error ? error : new Error(String(error)));
    });
  };
  return (
    <>
      {error && <ErrorNotice error={error} what="The sign-in did not begin" />}
      <button type="button" className="button button-primary" autoFocus disabled={leaving} onClick={leave}>
        Sign in at {new URL(client.issuer).host}
      </button>
    </>
  );
}

function AtProxy() {
  return (
    <>
      <p className="text-sm text-soft">A proxy in front of the gateway signs you in. Load the page again to get there.</p>
      <button type="button" className="button button-primary" onClick={() => window.location.reload()}>Load the page again</button>
    </>
  );
}

function WithToken({ takesKeys, isOnlyWay, onToken }: { takesKeys: boolean; isOnlyWay: boolean; onToken: (token: string) => void }) {
  const id = useId();
  const [token, setToken] = useState("");
  return (
    <form
      className="grid gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        if (token.trim()) onToken(token.trim());
      }}
    >
      <div className="grid gap-1">
        <label htmlFor={id} className="text-sm font-medium">Token</label>
        {/* No password of a person: password managers must not offer to keep it. */}
        <input id={id} className="field font-mono" type="password" autoComplete="off" spellCheck={false} autoFocus={isOnlyWay} value={token} onChange={(event) => setToken(event.target.value)} />
      </div>
      <button type="submit" className={isOnlyWay ? "button button-primary" : "button"} disabled={token.trim() === ""}>Sign in</button>
      <p className="text-sm text-soft">
        A token of the cluster, for example from <code className="font-mono">kubectl create token NAME</code>{takesKeys && ", or an API key"}. It is kept in this tab until you close it or sign out.
      </p>
    </form>
  );
}
