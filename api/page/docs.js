"use strict";

// Everything is put in as text, never as markup.
function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function typeOf(schema) {
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    return element("a", { href: `#schema-${name}` }, name);
  }
  const union = schema.anyOf || schema.oneOf || schema.allOf;
  if (union) {
    const parts = union.filter((part) => part.$ref || part.type || part.const !== undefined);
    return element("span", {}, ...parts.flatMap((part, place) => (place ? [" or ", typeOf(part)] : [typeOf(part)])));
  }
  if (schema.const !== undefined) return element("code", {}, JSON.stringify(schema.const));
  if (schema.enum) return element("span", {}, schema.enum.map((value) => JSON.stringify(value)).join(" · "));
  if (schema.type === "array" && schema.items) return element("span", {}, "list of ", typeOf(schema.items));
  return element("span", {}, schema.type || "any");
}

function fieldsOf(schema) {
  const required = new Set(schema.required || []);
  const rows = Object.entries(schema.properties || {}).map(([name, field]) =>
    element("tr", {},
      element("td", {}, element("code", {}, name), required.has(name) ? "" : " (optional)"),
      element("td", {}, typeOf(field)),
      element("td", {}, field.description || "")));
  return element("table", {}, element("tbody", {}, ...rows));
}

function answersOf(operation) {
  const rows = Object.entries(operation.responses).map(([status, answer]) => {
    const [[mediaType, content]] = Object.entries(answer.content);
    return element("tr", {},
      element("td", {}, status), element("td", {}, mediaType), element("td", {}, typeOf(content.schema)),
      element("td", {}, answer.description));
  });
  return element("table", {}, element("tbody", {}, ...rows));
}

function parametersOf(operation) {
  return (operation.parameters || []).map((parameter) =>
    element("p", {}, element("code", {}, parameter.name), ` (${parameter.in}) ${parameter.description || ""}`));
}

function operationOf(path, method, operation) {
  const signed = (operation.security[0] || {})["webhook-signature"];
  const needs = operation.security.length === 0 ? "public" : signed ? "key and signature" : "key";
  const body = operation.requestBody;
  return element("details", { id: operation.operationId },
    element("summary", {},
      element("span", { class: "method" }, method.toUpperCase()), element("code", {}, path), ` ${operation.summary}`),
    element("p", {}, `Needs: ${needs}`),
    ...parametersOf(operation),
    ...(body ? [element("p", {}, "Body: ", typeOf(body.content["application/json"].schema))] : []),
    answersOf(operation));
}

function problemsOf(paths) {
  const found = new Map();
  for (const methods of Object.values(paths)) {
    for (const operation of Object.values(methods)) {
      for (const [status, answer] of Object.entries(operation.responses)) {
        if (Number(status) < 400) continue;
        for (const part of answer.description.split("; ")) {
          const [, code, meaning] = part.match(/^`(\w+)`: (.*)$/) || [];
          if (code) found.set(code, [status, meaning]);
        }
      }
    }
  }
  return [...found].sort((a, b) => a[1][0] - b[1][0]).map(([code, [status, meaning]]) =>
    element("tr", { id: code },
      element("td", {}, status), element("td", {}, element("code", {}, code)), element("td", {}, meaning)));
}

function show(description) {
  const { info, paths, components } = description;
  document.getElementById("version").textContent = info.version;
  document.getElementById("summary").textContent = info.summary;
  document.getElementById("operations").replaceChildren(...Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => operationOf(path, method, operation))));
  document.getElementById("security").replaceChildren(...Object.entries(components.securitySchemes).flatMap(
    ([name, scheme]) => [element("dt", {}, name === "key" ? "Authorization: Bearer KEY" : name),
      element("dd", {}, scheme.description)]));
  document.getElementById("problems").replaceChildren(...problemsOf(paths));
  document.getElementById("schemas").replaceChildren(...Object.entries(components.schemas).map(([name, schema]) =>
    element("details", { id: `schema-${name}` },
      element("summary", {}, element("code", {}, name), ` ${schema.description || ""}`),
      schema.enum ? typeOf(schema) : fieldsOf(schema))));
  if (location.hash) reveal();
}

// A link to an error code or a document opens what it points at.
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  if (target instanceof HTMLDetailsElement) target.open = true;
  target.scrollIntoView();
}

addEventListener("hashchange", reveal);

fetch("/openapi.json")
  .then((answer) => answer.json())
  .then(show)
  .catch((error) => { document.getElementById("operations").textContent = `The description did not load: ${error}`; });
