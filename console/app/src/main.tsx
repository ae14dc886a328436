import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { App } from "./App";
import { arrive } from "./sign_in/arrival";
import "./style.css";

// Once: a code of the issuer is good for one use.
const arrival = arrive();
const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <App arrival={arrival} />
    </StrictMode>,
  );
}
