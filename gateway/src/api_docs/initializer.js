// The document is named relative to the page, so that both are found below any prefix. A token that is typed in lives
// as long as the page, and no validator of others is told what stands in the document.
SwaggerUIBundle({
  url: "../openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  filter: true,
  persistAuthorization: false,
  queryConfigEnabled: false,
  validatorUrl: null,
});
