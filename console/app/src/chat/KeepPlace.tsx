// What the user reads stays where it is when entries come or go above it. A class: React tells no hook of the moment
// before it changes the page.

import { Component, type ReactNode, type RefObject } from "react";

interface Props {
  scroller: RefObject<HTMLElement | null>;
  /** The first entry: where it is another one, entries above have come or gone. */
  first: string | undefined;
  enabled: boolean;
  children: ReactNode;
}

/** An entry, and its distance from the top of the window. */
interface Place {
  entry: Element;
  top: number;
}

export class KeepPlace extends Component<Props> {
  override getSnapshotBeforeUpdate(before: Props): Place | null {
    const { scroller, first, enabled } = this.props;
    return enabled && before.first !== first && scroller.current ? firstInView(scroller.current) : null;
  }

  override componentDidUpdate(_props: Props, _state: unknown, place: Place | null): void {
    const scroller = this.props.scroller.current;
    // Measured, because browsers that anchor the view by themselves may have done it.
    if (place?.entry.isConnected && scroller) scroller.scrollTop += place.entry.getBoundingClientRect().top - place.top;
  }

  override render() {
    return this.props.children;
  }
}

function firstInView(scroller: HTMLElement): Place | null {
  const { top: edge } = scroller.getBoundingClientRect();
  for (const entry of scroller.querySelectorAll("ol > li")) {
    const { top, bottom } = entry.getBoundingClientRect();
    if (bottom > edge) return { entry, top };
  }
  return null;
}
