// Sign-in with a bearer token of Kubernetes.

import { useId, useState } from "react";

import { Notice } from "../parts/feedback";

export function SignInPage({ refused, onToken }: { refused: boolean; onToken: (token: string) => void }) {
  const id = useId();
  const [token, setToken] = useState("");
  return (
    <main className="grid h-full place-items-center p-4">
      <form
        className="card grid w-full max-w-md gap-4 p-6"
        onSubmit={(event) => {
          event.preventDefault();
          if (token.trim()) onToken(token.trim());
        }}
      >
        <h1 className="text-lg font-semibold">Sign in to Steadfast</h1>
        {refused && <Notice tone="bad" role="alert" title="The gateway did not accept the token">It may have expired. Make a new one.</Notice>}
        <div className="grid gap-1">
          <label htmlFor={id} className="text-sm font-medium">Token</label>
          {/* No password of a person: password managers must not offer to keep it. */}
          <input id={id} className="field font-mono" type="password" autoComplete="off" spellCheck={false} autoFocus value={token} onChange={(event) => setToken(event.target.value)} />
        </div>
        <button type="submit" className="button button-primary" disabled={token.trim() === ""}>Sign in</button>
        <p className="text-sm text-soft">
          A token that the Kubernetes API server accepts, for example from <code className="font-mono">kubectl create token NAME</code>. It is kept in this tab until you close it or sign out.
        </p>
      </form>
    </main>
  );
}
