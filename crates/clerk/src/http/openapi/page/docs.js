// Shows openapi.json to people. Everything from the document becomes text, never markup.
"use strict";

const METHODS = ["get", "put", "post", "patch", "delete"];

// An element with children: elements, texts, or nothing.
function el(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

// A sentence in which `this` is code.
function prose(text) {
  return (text ?? "").split("`").map((part, at) => (at % 2 ? el("code", {}, part) : part));
}

function paragraphs(text) {
  return (text ?? "").split("\n\n").filter(Boolean).map((part) => el("p", {}, prose(part)));
}

function json(value) {
  return el("pre", {}, JSON.stringify(value, null, 2));
}

function table(head, rows) {
  if (rows.length === 0) return null;
  const cells = (name, row) => el("tr", {}, row.map((cell) => el(name, {}, cell)));
  return el("table", {}, el("thead", {}, cells("th", head)), el("tbody", {}, rows.map((row) => cells("td", row))));
}

class Page {
  constructor(described) {
    this.described = described;
  }

  // What a reference stands for, and its name.
  resolve(value) {
    if (!value || !value.$ref) return { value: value ?? {}, name: null };
    const steps = value.$ref.slice(2).split("/");
    return { value: steps.reduce((at, step) => at[step], this.described), name: steps.at(-1) };
  }

  // A schema in a few words, with links to those that have a name.
  kind(schema) {
    const { value, name } = this.resolve(schema);
    if (name) return [el("a", { href: `#schema-${name}` }, name)];
    if (value.oneOf) return value.oneOf.flatMap((one, at) => (at ? [" or ", ...this.kind(one)] : this.kind(one)));
    if (value.enum) return [value.enum.join(", ")];
    if ("const" in value) return [JSON.stringify(value.const)];
    if (value.type === "array") return ["array of ", ...this.kind(value.items)];
    const types = [value.type ?? "any"].flat().join(" or ");
    return [types + (value.format ? ` (${value.format})` : "") + bounds(value)];
  }

  members(schema) {
    const required = schema.required ?? [];
    const properties = schema.properties ?? {};
    const names = new Set([...required, ...Object.keys(properties)]);
    const rows = [...names].map((name) => [name, properties[name] ?? {}]).map(([name, member]) => {
      const { value } = this.resolve(member);
      const needed = required.includes(name) ? "" : " (optional)";
      return [el("code", {}, name), [...this.kind(member), el("span", { class: "quiet" }, needed)], prose(member.$ref ? "" : value.description)];
    });
    return table(["member", "type", "meaning"], rows);
  }

  parameters(operation) {
    const rows = (operation.parameters ?? []).map((parameter) => {
      const { value } = this.resolve(parameter);
      return [el("code", {}, value.name), value.in + (value.required ? ", required" : ""), this.kind(value.schema), prose(value.description)];
    });
    return rows.length ? [el("h4", {}, "Parameters"), table(["name", "in", "type", "meaning"], rows)] : [];
  }

  body(operation) {
    if (!operation.requestBody) return [];
    const content = Object.entries(operation.requestBody.content).map(([kind, media]) => {
      const { value, name } = this.resolve(media.schema);
      const example = media.example ?? value.example;
      return [
        el("p", {}, el("code", {}, kind), " ", ...(name ? this.kind(media.schema) : [])),
        name ? null : this.members(value),
        example === undefined ? null : json(example),
      ];
    });
    return [el("h4", {}, operation.requestBody.required ? "Body" : "Body (optional)"), ...content.flat()];
  }

  answers(operation) {
    const rows = Object.entries(operation.responses).map(([status, answer]) => {
      const content = Object.entries(answer.content ?? {}).map(([kind, media]) => [
        el("code", {}, kind), " ", ...(media.schema?.$ref ? this.kind(media.schema) : []),
      ]);
      const headers = Object.keys(answer.headers ?? {}).filter((name) => name !== "Request-Id" && name !== "Cache-Control");
      return [status, prose(answer.description), content.flat(), headers.join(", ")];
    });
    return [el("h4", {}, "Answers"), table(["status", "meaning", "content", "headers"], rows)];
  }

  operation(method, path, operation) {
    const open = operation.security && operation.security.length === 0;
    return el("section", { id: operation.operationId },
      el("h3", {}, operation.summary),
      el("p", {}, el("code", {}, el("span", { class: "method" }, method.toUpperCase()), path), open ? el("span", { class: "quiet" }, " no key needed") : null),
      paragraphs(operation.description),
      this.parameters(operation), this.body(operation), this.answers(operation));
  }

  schema(name, schema) {
    return el("section", { id: `schema-${name}` },
      el("h3", {}, name),
      paragraphs(schema.description),
      this.members(schema),
      schema.example === undefined ? null : json(schema.example));
  }

  show() {
    const { info, paths, tags, components } = this.described;
    const main = document.getElementById("document");
    const contents = document.getElementById("contents");
    document.title = `${info.title} ${info.version}`;
    main.replaceChildren(
      el("h1", {}, info.title, " ", el("span", { class: "quiet" }, info.version)),
      ...paragraphs(info.summary), ...paragraphs(info.description),
      el("p", {}, "For programs: ", el("a", { href: "openapi.json" }, "openapi.json"), "."));
    for (const tag of tags) {
      contents.append(el("h2", {}, tag.name));
      for (const [path, item] of Object.entries(paths)) {
        for (const method of METHODS.filter((name) => item[name]?.tags.includes(tag.name))) {
          contents.append(el("a", { href: `#${item[method].operationId}` }, item[method].summary));
          main.append(this.operation(method, path, item[method]));
        }
      }
    }
    contents.append(el("h2", {}, "objects"));
    for (const [name, schema] of Object.entries(components.schemas)) {
      contents.append(el("a", { href: `#schema-${name}` }, name));
      main.append(this.schema(name, schema));
    }
    if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
  }
}

function bounds({ minimum, maximum, pattern }) {
  const least = minimum === undefined ? "" : ` from ${minimum}`;
  const most = maximum === undefined ? "" : ` to ${maximum}`;
  return least + most + (pattern ? ` like ${pattern}` : "");
}

fetch("openapi.json")
  .then((answer) => answer.json())
  .then((described) => new Page(described).show())
  .catch((error) => {
    document.getElementById("document").replaceChildren(el("p", { class: "error" }, `The document cannot be shown: ${error.message}`));
  });
