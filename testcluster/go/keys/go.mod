module watchstander.test/keys

go 1.26.0
