import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { announce } from "../announcer";
import { symbol as charted } from "../chart/choice";
import { ask } from "../connection";
import { graphql } from "../graphql";
import type { SearchQuery } from "../graphql/graphql";
import { add, MOST, symbols } from "./lists";

const SEARCH = graphql(`
  query Search($text: String!) {
    assets(search: $text, first: 8) {
      edges {
        node {
          symbol
          name
          type
          exchange
        }
      }
    }
  }
`);

type Found = SearchQuery["assets"]["edges"][number]["node"];

const TYPING_MS = 120;

/** A field that finds assets by symbol or name, misspelt or not, and puts the chosen one into the watchlist. */
export function Search() {
  const field = useRef<HTMLInputElement>(null);
  const text = useSignal("");
  const found = useSignal<readonly Found[]>([]);
  const active = useSignal(0);
  const message = useSignal("");
  const open = useSignal(false);

  useEffect(() => {
    const focus = (event: KeyboardEvent) => {
      const typing = (event.target as Element).closest("input, select, textarea, dialog");
      if (event.key !== "/" || typing) return;
      event.preventDefault();
      field.current!.focus();
    };
    document.addEventListener("keydown", focus);
    return () => document.removeEventListener("keydown", focus);
  }, []);

  useEffect(() => {
    const wanted = text.value.trim();
    found.value = [];
    message.value = "";
    if (!wanted) return;
    let current = true;
    const timer = setTimeout(async () => {
      try {
        const { data, errors } = await ask(SEARCH, { text: wanted });
        if (!current) return;
        found.value = data?.assets.edges.map((edge) => edge.node) ?? [];
        message.value = errors[0]?.message ?? (found.value.length ? "" : `Nothing is like “${wanted}”.`);
      } catch (cause) {
        if (current) message.value = (cause as Error).message;
      }
      active.value = 0;
    }, TYPING_MS);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [text.value]);

  const choose = (asset: Found | undefined) => {
    if (!asset) return;
    if (symbols.value.length >= MOST) {
      message.value = `The watchlist is full: ${MOST} symbols.`;
      return;
    }
    add(asset.symbol);
    charted.value = asset.symbol;
    announce(`${asset.symbol} added`);
    text.value = "";
    open.value = false;
  };

  const onKey = (event: KeyboardEvent) => {
    const count = found.value.length;
    if (event.key === "ArrowDown" && count) active.value = (active.value + 1) % count;
    else if (event.key === "ArrowUp" && count) active.value = (active.value + count - 1) % count;
    else if (event.key === "Enter") choose(found.value[active.value]);
    else if (event.key === "Escape") text.value = "";
    else return;
    event.preventDefault();
  };

  const shown = open.value && (found.value.length > 0 || message.value !== "");
  return (
    <div class="search">
      <input
        ref={field}
        type="text"
        role="combobox"
        aria-label="Search for a symbol or a name to watch"
        aria-expanded={shown}
        aria-controls="found"
        aria-autocomplete="list"
        aria-activedescendant={found.value.length ? `found-${active.value}` : undefined}
        placeholder="Add a symbol   /"
        autocomplete="off"
        spellcheck={false}
        value={text.value}
        onInput={(event) => {
          text.value = event.currentTarget.value;
          open.value = true;
        }}
        onFocus={() => (open.value = true)}
        onBlur={() => (open.value = false)}
        onKeyDown={onKey}
      />
      <div class="popup" hidden={!shown}>
        {message.value && <p role="status">{message}</p>}
        <ul id="found" role="listbox" aria-label="Found">
          {found.value.map((asset, index) => (
            <li
              key={asset.symbol}
              id={`found-${index}`}
              role="option"
              aria-selected={index === active.value}
              // Not a click: the field would have lost the focus, and the list its reason to be there.
              onPointerDown={(event) => {
                event.preventDefault();
                choose(asset);
              }}
            >
              <b>{asset.symbol}</b> <span>{asset.name}</span>
              <small>
                {asset.type.toLowerCase()} {asset.exchange}
              </small>
            </li>
          ))}
        </ul>
      </div>
    </div>
  );
}
