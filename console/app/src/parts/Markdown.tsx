// What a model wrote, as Markdown. Its HTML stays text, its images are links that nobody follows by looking, and its
// links say where they lead.

import { Component, memo, type ReactNode } from "react";
import ReactMarkdown, { type Components } from "react-markdown";
import remarkGfm from "remark-gfm";

import { blocksOf } from "./blocks";

/** Longer texts are shown as they are: parsing them again with each piece would stop the page. */
const MAX_MARKDOWN_CHARS = 60_000;

const PLUGINS = [remarkGfm];

function hostOf(href: string): string | undefined {
  try {
    const url = new URL(href);
    return url.protocol === "http:" || url.protocol === "https:" ? url.host : undefined;
  } catch {
    return undefined;
  }
}

const COMPONENTS: Components = {
  a({ href, children }) {
    const host = hostOf(href ?? "");
    // A link into this page would act with the user's own rights.
    if (!host || host === window.location.host) return <span>{children}</span>;
    return (
      <a href={href} target="_blank" rel="noopener noreferrer nofollow" title={href} data-host={host}>
        {children}
      </a>
    );
  },
  img({ src, alt }) {
    const host = typeof src === "string" ? hostOf(src) : undefined;
    const text = `image: ${alt || "no description"}`;
    return host ? (
      <a href={src as string} target="_blank" rel="noopener noreferrer nofollow" title={src as string} data-host={host}>
        {text}
      </a>
    ) : (
      <span>{text}</span>
    );
  },
  input({ checked }) {
    return <span aria-label={checked ? "done" : "to do"}>{checked ? "☑" : "☐"}</span>;
  },
  pre({ children }) {
    return <pre tabIndex={0}>{children}</pre>;
  },
};

export const Markdown = memo(function Markdown({ text }: { text: string }) {
  if (text.length > MAX_MARKDOWN_CHARS) return <div className="whitespace-pre-wrap wrap-anywhere">{text}</div>;
  return (
    <AsText text={text}>
      <div className="prose wrap-anywhere">
        {blocksOf(text).map((block, index) => <Block key={index} text={block} />)}
      </div>
    </AsText>
  );
});

/** What cannot be shown as Markdown is shown as it is: one message must not take the page away. */
class AsText extends Component<{ text: string; children: ReactNode }, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError() {
    return { failed: true };
  }

  override render() {
    if (this.state.failed) return <div className="whitespace-pre-wrap wrap-anywhere">{this.props.text}</div>;
    return this.props.children;
  }
}

/** Parsed once, and again only when it is the last one of a text that grows. */
const Block = memo(function Block({ text }: { text: string }) {
  return (
    <ReactMarkdown remarkPlugins={PLUGINS} components={COMPONENTS}>
      {text}
    </ReactMarkdown>
  );
});
