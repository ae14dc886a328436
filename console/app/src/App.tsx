// The frame around the pages: who the user is, where to go, and how many approvals wait.

import { ApiError, type ListedApproval } from "@steadfast/client";
import { useCallback, useEffect, useMemo, useRef, useState, type ReactNode } from "react";

import { AgentPage } from "./pages/AgentPage";
import { AgentsPage } from "./pages/AgentsPage";
import { ApprovalsPage } from "./pages/ApprovalsPage";
import { FleetPage } from "./pages/FleetPage";
import { SignInPage, type SignInProblem } from "./pages/SignInPage";
import { TaskPage } from "./pages/TaskPage";
import { TimelinePage } from "./pages/TimelinePage";
import { Spinner } from "./parts/feedback";
import { notifyOf } from "./state/notifications";
import { usePoll, type Polled } from "./state/poll";
import { linkTo, useRoute, type Route } from "./state/route";
import { credentials, openSession, SessionContext, useSession } from "./state/session";

const APPROVALS_PERIOD_MS = 3000;

/** `arrival` is there when the user comes back from the issuer, and gives what went wrong. */
export function App({ arrival }: { arrival: Promise<Error | undefined> | undefined }) {
  const [signIn, setSignIn] = useState<{ problem: SignInProblem | undefined } | undefined>();
  const [arriving, setArriving] = useState(arrival !== undefined);
  const session = useMemo(openSession, []);
  useEffect(() => {
    void arrival?.then((error) => {
      if (error) setSignIn({ problem: { title: "The sign-in failed", message: error.message } });
      setArriving(false);
    });
  }, [arrival]);
  const end = useCallback((problem: SignInProblem | undefined) => {
    credentials.clear();
    setSignIn({ problem });
  }, []);
  const refused = useCallback((error: ApiError) => {
    // Who has shown nothing yet is asked, and not told that it was wrong.
    end(credentials.isEmpty ? undefined : { title: "The sign-in has ended, or the gateway did not accept it", message: error.message });
  }, [end]);
  if (arriving) return <Center><Spinner label="Signing in…" /></Center>;
  if (signIn) {
    const enter = (token: string) => {
      credentials.useToken(token);
      setSignIn(undefined);
    };
    return <SignInPage problem={signIn.problem} onToken={enter} />;
  }
  return (
    <SessionContext value={session}>
      <Frame signedIn={!credentials.isEmpty} onSignOut={() => end(undefined)} onUnauthorized={refused} />
    </SessionContext>
  );
}

interface FrameProps {
  signedIn: boolean;
  onSignOut: () => void;
  onUnauthorized: (error: ApiError) => void;
}

function Frame({ signedIn, onSignOut, onUnauthorized }: FrameProps) {
  const { gateway } = useSession();
  const route = useRoute();
  const approvals = usePoll(
    (signal) => gateway.approvals(signal),
    APPROVALS_PERIOD_MS,
    (error: ApiError) => {
      if (error.status === 401) onUnauthorized(error);
    },
  );
  const count = approvals.value?.length ?? 0;
  useEffect(() => {
    document.title = `${count > 0 ? `(${count}) ` : ""}${titleOf(route)} · Steadfast`;
  }, [count, route]);
  useEffect(() => notifyOf(approvals.value), [approvals.value]);
  const main = useFocusOnRoute(route);
  return (
    <div className="flex h-full flex-col">
      <a href="#main" className="sr-only focus:not-sr-only focus:p-2" onClick={(event) => (event.preventDefault(), main.current?.focus())}>
        Skip to the content
      </a>
      <header className="flex items-center gap-1 border-b border-line bg-card px-3 py-2 sm:gap-3 sm:px-4">
        <a href={linkTo.agents} className="mr-1 font-semibold tracking-tight sm:mr-3">Steadfast</a>
        <nav aria-label="Main" className="flex gap-1">
          <NavLink href={linkTo.agents} current={route.page === "agents" || route.page === "agent"}>Agents</NavLink>
          <NavLink href={linkTo.approvals} current={route.page === "approvals"}>
            Approvals
            {count > 0 && (
              <span className="rounded-full bg-accent px-1.5 text-xs text-on-accent">
                {count}
                <span className="sr-only"> waiting</span>
              </span>
            )}
          </NavLink>
          <NavLink href={linkTo.fleet} current={route.page === "fleet"}>Fleet</NavLink>
        </nav>
        <span className="flex-1" />
        {signedIn && <button type="button" className="button" onClick={onSignOut}>Sign out</button>}
      </header>
      <main id="main" ref={main} tabIndex={-1} className="min-h-0 flex-1 overflow-hidden outline-none">
        {approvals.value === undefined && approvals.error === undefined ? <Center><Spinner label="Connecting to the gateway…" /></Center> : <Page route={route} approvals={approvals} />}
      </main>
    </div>
  );
}

/** A new page is where the keyboard and the screen reader go on. */
function useFocusOnRoute(route: Route) {
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  const key = JSON.stringify(route);
  useEffect(() => {
    if (!first.current) main.current?.focus();
    first.current = false;
  }, [key]);
  return main;
}

function Page({ route, approvals }: { route: Route; approvals: Polled<ListedApproval[]> }) {
  switch (route.page) {
    case "agents":
      return <AgentsPage />;
    case "agent":
      return <AgentPage key={route.agent} name={route.agent} />;
    case "task":
      return <TaskPage key={route.task} taskId={route.task} onApprovals={approvals.refresh} />;
    case "timeline":
      return <TimelinePage key={route.task} taskId={route.task} />;
    case "fleet":
      return <FleetPage />;
    case "approvals":
      return <ApprovalsPage approvals={approvals} />;
  }
}

function titleOf(route: Route): string {
  switch (route.page) {
    case "agents":
      return "Agents";
    case "agent":
      return route.agent;
    case "task":
      return "Chat";
    case "timeline":
      return "Timeline";
    case "fleet":
      return "Fleet";
    case "approvals":
      return "Approvals";
  }
}

function NavLink({ href, current, children }: { href: string; current: boolean; children: ReactNode }) {
  return (
    <a href={href} aria-current={current ? "page" : undefined} className={`inline-flex items-center gap-1.5 rounded-md px-2.5 py-1.5 text-sm ${current ? "bg-sunken font-medium" : "hover:bg-sunken"}`}>
      {children}
    </a>
  );
}

function Center({ children }: { children: ReactNode }) {
  return <div className="grid h-full place-items-center p-6">{children}</div>;
}
