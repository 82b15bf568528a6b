package source

import "strings"

// place is what kind of object a node is in an OpenAPI document. The names of those that components can hold are
// the members of components.
type place string

const (
	placeNone            place = ""
	placeRoot            place = "root"
	placeComponents      place = "components"
	placePathItem        place = "pathItems"
	placePathItemMap     place = "pathItems map"
	placeOperation       place = "operation"
	placeOperationMap    place = "operation map"
	placeParameter       place = "parameters"
	placeParameterMap    place = "parameters map"
	placeParameterList   place = "parameters list"
	placeRequestBody     place = "requestBodies"
	placeRequestBodyMap  place = "requestBodies map"
	placeMediaType       place = "mediaTypes"
	placeMediaTypeMap    place = "mediaTypes map"
	placeEncoding        place = "encoding"
	placeEncodingMap     place = "encoding map"
	placeResponse        place = "responses"
	placeResponseMap     place = "responses map"
	placeHeader          place = "headers"
	placeHeaderMap       place = "headers map"
	placeSchema          place = "schemas"
	placeSchemaMap       place = "schemas map"
	placeSchemaList      place = "schemas list"
	placeExample         place = "examples"
	placeExampleMap      place = "examples map"
	placeLink            place = "links"
	placeLinkMap         place = "links map"
	placeCallback        place = "callbacks"
	placeCallbackMap     place = "callbacks map"
	placeSecurityScheme  place = "securitySchemes"
	placeSecuritySchemes place = "securitySchemes map"
)

// entry maps "responses map" to "responses": what the entries of a map or list are.
func (p place) entry() (place, bool) {
	if s, ok := strings.CutSuffix(string(p), " map"); ok {
		return place(s), true
	}
	if s, ok := strings.CutSuffix(string(p), " list"); ok {
		return place(s), true
	}
	return placeNone, false
}

// holdsReference reports whether an object at p may be {"$ref": …}.
func (p place) holdsReference() bool {
	switch p {
	case placePathItem, placeParameter, placeRequestBody, placeResponse, placeHeader, placeSchema, placeExample, placeLink,
		placeCallback, placeSecurityScheme, placeMediaType:
		return true
	}
	return false
}

// member returns what the member key of an object at p is; placeNone is a value without references.
func (p place) member(key string) place {
	if e, ok := p.entry(); ok {
		if strings.HasPrefix(key, "x-") && p != placeSchemaMap && p != placeHeaderMap {
			return placeNone
		}
		return e
	}
	switch p {
	case placeRoot:
		switch key {
		case "paths", "webhooks":
			return placePathItemMap
		case "components":
			return placeComponents
		}
	case placeComponents:
		return componentsMember(key)
	case placePathItem:
		return pathItemMember(key)
	case placeOperation:
		switch key {
		case "parameters":
			return placeParameterList
		case "requestBody":
			return placeRequestBody
		case "responses":
			return placeResponseMap
		case "callbacks":
			return placeCallbackMap
		}
	case placeParameter, placeHeader, placeMediaType, placeRequestBody, placeResponse, placeEncoding:
		return payloadMember(key)
	case placeCallback:
		if !strings.HasPrefix(key, "x-") && key != "$ref" {
			return placePathItem
		}
	case placeSchema:
		return schemaMember(key)
	}
	return placeNone
}

func componentsMember(key string) place {
	switch key {
	case "schemas", "parameters", "responses", "requestBodies", "headers", "examples", "links", "callbacks", "pathItems",
		"securitySchemes", "mediaTypes":
		return place(key + " map")
	}
	return placeNone
}

func pathItemMember(key string) place {
	switch key {
	case "parameters":
		return placeParameterList
	case "additionalOperations":
		return placeOperationMap
	}
	if IsMethod(key) {
		return placeOperation
	}
	return placeNone
}

// IsMethod reports whether a member of a path item is an operation.
func IsMethod(key string) bool {
	switch key {
	case "get", "put", "post", "delete", "options", "head", "patch", "trace", "query":
		return true
	}
	return false
}

func payloadMember(key string) place {
	switch key {
	case "schema", "itemSchema":
		return placeSchema
	case "content":
		return placeMediaTypeMap
	case "examples":
		return placeExampleMap
	case "encoding":
		return placeEncodingMap
	case "headers":
		return placeHeaderMap
	case "links":
		return placeLinkMap
	}
	return placeNone
}

func schemaMember(key string) place {
	switch key {
	case "properties", "patternProperties", "$defs", "definitions", "dependentSchemas":
		return placeSchemaMap
	case "items", "not", "additionalProperties", "if", "then", "else", "contains", "propertyNames", "unevaluatedItems",
		"unevaluatedProperties", "contentSchema":
		return placeSchema
	case "allOf", "anyOf", "oneOf", "prefixItems":
		return placeSchemaList
	}
	return placeNone
}
