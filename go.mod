module github.com/polyvault/polyvault

go 1.26
