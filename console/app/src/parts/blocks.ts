// A long Markdown text as pieces that mean the same one by one, so that a text that grows is parsed anew at its end only.
// Pure. Where it is not certain that a place separates two blocks, it separates none: that costs time and nothing else.

/** A link or a footnote that is defined elsewhere: such a text has no pieces of its own. */
const DEFINITION = /^ {0,3}\[[^\]\n]+\]:/m;
const FENCE = /^(`{3,}|~{3,})/;
/** What may go on with the block before an empty line: a list, or what is indented into one. */
const CONTINUES = /^(\s|[-*+](\s|$)|\d{1,9}[.)](\s|$))/;

export function blocksOf(text: string): string[] {
  if (DEFINITION.test(text)) return [text];
  const blocks: string[] = [];
  let begin = 0;
  let fence: string | undefined;
  let afterEmpty = false;
  for (let at = 0; at < text.length; ) {
    const newline = text.indexOf("\n", at);
    const end = newline < 0 ? text.length : newline + 1;
    const line = text.slice(at, end).trimEnd();
    if (fence !== undefined) {
      if (closes(line, fence)) fence = undefined;
      afterEmpty = false;
    } else if (line === "") {
      afterEmpty = true;
    } else {
      if (afterEmpty && !CONTINUES.test(line)) {
        blocks.push(text.slice(begin, at));
        begin = at;
      }
      afterEmpty = false;
      const opened = FENCE.exec(line)?.[1];
      // A backtick after it makes it text.
      if (opened !== undefined && !(opened.startsWith("`") && line.slice(opened.length).includes("`"))) fence = opened;
    }
    at = end;
  }
  blocks.push(text.slice(begin));
  return blocks;
}

/** At least as many of the same characters, and nothing after them. */
function closes(line: string, fence: string): boolean {
  const mark = line.replace(/^ {0,3}/, "");
  return mark.length >= fence.length && mark === fence.charAt(0).repeat(mark.length);
}
